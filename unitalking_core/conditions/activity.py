"""Voice activity: which parts of a recording are speech.

Speech is told from other sound by two things at once. It stands out: in bands of the spectrum it is louder than the recording's own floor
there, so steady noise, hum and tones do not count. And it is voiced: its waveform repeats itself at the period of a human voice, so clicks,
knocks and hiss do not count. What stands out right beside voiced speech (s, f, t) belongs to it. Music and other people's voices are not
told apart, and a whisper, which has no voice, is not found. Its spectrum changes from sound to sound, that of a held tone does not.

Voicing is the normalised autocorrelation of Boersma, "Accurate short-term analysis of the fundamental frequency" (1993), in one pass.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .recording import resample

RATE = 16000
"""Hz: what is analysed, whatever the recording's rate."""
FRAME, HOP = 640, 160
"""Samples: 40 ms hold two periods of the lowest voice; 10 ms."""
LOWEST_PITCH, HIGHEST_PITCH = 60, 420
BAND_EDGES = (120, 300, 600, 1000, 1500, 2200, 3200, 4500)
"""Hz."""
FLOOR_QUANTILE = 0.1
DYNAMIC_DB = 55.0
"""The floor lies at most this far below the loudest moments: digital silence at the ends must not make all noise stand out."""
STANDS_OUT_DB = 8.0
BESIDE_DB = 4.0
VOICED = 0.55
CHANGES_DB = 0.9
"""How much the bands of the voiced frames of a part change at least. Clean speech: 5 and more; in much noise 1 to 4; a held tone: 0.6."""
REACH = 20
"""Frames that the unvoiced sounds before and after a voiced one last."""
SHORTEST, LONGEST_GAP = 8, 20
"""Frames: shorter activity is a click or a cough, a shorter gap is a consonant."""
BLOCK_FRAMES = 6000
"""Frames analysed at a time, so that an hour needs no more memory than a minute."""


def speech_segments(mono: Tensor, sample_rate: int) -> list[tuple[float, float]]:
    """Waveform (N,) -> the parts that are speech, (start, stop) in seconds, in order; empty where there is none."""
    x = resample(mono, sample_rate, RATE)
    bands, voicing = _features(x)
    bands = torch.maximum(bands, _floor(bands))
    above = (bands - bands.amin(0)).mean(1)
    voiced = _median((voicing > VOICED) & (above > STANDS_OUT_DB))
    near = F.max_pool1d(voiced.float()[None], 2 * REACH + 1, stride=1, padding=REACH)[0] > 0
    runs = _runs(voiced | (near & (above > BESIDE_DB)))
    joined: list[list[int]] = []
    for start, stop in runs:
        if joined and start - joined[-1][1] <= LONGEST_GAP:
            joined[-1][1] = stop
        else:
            joined.append([start, stop])
    kept = [(start, stop) for start, stop in joined if stop - start >= SHORTEST and _changes(bands[start:stop][voiced[start:stop]])]
    end = len(mono) / sample_rate
    return [(start * HOP / RATE, min(stop * HOP / RATE, end)) for start, stop in kept]


def _features(x: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) at RATE -> band levels (frames, bands) in dB and voicing (frames,) in 0..1. Frame k is centred at (k + 1/2) HOP."""
    frames = max(1, math.ceil(len(x) / HOP))
    side = (FRAME - HOP) // 2
    padded = F.pad(x, (side, frames * HOP - len(x) + side))
    window = torch.hann_window(FRAME)
    lags = slice(RATE // HIGHEST_PITCH, RATE // LOWEST_PITCH + 1)
    own = _autocorrelation(window[None])[:, lags] / window.square().sum()
    edges = torch.tensor(BAND_EDGES) * (2 * FRAME) // RATE
    bands, voicing = [], []
    for first in range(0, frames, BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, frames)
        part = padded[first * HOP : (last - 1) * HOP + FRAME].unfold(0, FRAME, HOP)
        power = torch.fft.rfft((part - part.mean(1, keepdim=True)) * window, 2 * FRAME).abs().square()
        levels = [power[:, low:high].mean(1) for low, high in itertools.pairwise(edges)]
        bands.append(10 * torch.log10(torch.stack(levels, 1) + 1e-10))
        # Pitch is looked for below 1000 Hz and without rumble.
        heard = power.clone()
        heard[:, : edges[0] // 2] = 0
        heard[:, edges[3] :] = 0
        correlation = torch.fft.irfft(heard, 2 * FRAME)[:, : FRAME // 2]
        voicing.append((correlation[:, lags] / (correlation[:, :1] + 1e-9) / own).amax(1).clamp(0, 1))
    return torch.cat(bands), torch.cat(voicing)


def _autocorrelation(x: Tensor) -> Tensor:
    return torch.fft.irfft(torch.fft.rfft(x, 2 * FRAME).abs().square(), 2 * FRAME)[:, : FRAME // 2]


def _floor(bands: Tensor) -> Tensor:
    """The recording's own level in each band (bands,), in dB, when nobody speaks."""
    quiet = bands.kthvalue(max(1, round(FLOOR_QUANTILE * len(bands))), dim=0).values
    loudest = bands.amax(1).kthvalue(max(1, round(0.98 * len(bands)))).values
    return quiet.clamp(min=float(loudest) - DYNAMIC_DB)


def _changes(voiced: Tensor) -> bool:
    """Whether the voiced frames (n, bands) of a part differ from each other as sounds of speech do."""
    return len(voiced) > 2 and float(voiced.std(0).mean()) > CHANGES_DB


def _median(active: Tensor) -> Tensor:
    """Of each frame and its neighbours: lone frames do not count, lone gaps do."""
    return F.avg_pool1d(active.float()[None], 5, stride=1, padding=2)[0] > 0.5


def _runs(active: Tensor) -> list[tuple[int, int]]:
    edges = torch.diff(F.pad(active.int(), (1, 1)))
    return list(zip((edges == 1).nonzero()[:, 0].tolist(), (edges == -1).nonzero()[:, 0].tolist(), strict=True))
