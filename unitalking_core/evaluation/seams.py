"""Does a long clip jump where its parts meet? Each change there, against the same change inside the parts.

Picture: how like each other neighbouring frames are. Loudness, pitch, face: a second before against a second after. Inside, the same is
asked at moments away from any border; a border is good when it is no worse than those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torchaudio
from torch import Tensor

from ..conditions.recording import loudness

WINDOW_SECONDS = 1.0
LEAST_VOICED = 10
LOWEST_HZ, HIGHEST_HZ = 70, 400


@dataclass(frozen=True)
class Seam:
    """A change at one kind of place: at every border, and inside. `worse`: where the bad end is."""

    name: str
    unit: str
    worse: str
    borders: tuple[float, ...]
    inside: tuple[float, ...]

    def line(self) -> str:
        """Medians, and how many borders are worse than nine in ten moments inside."""
        if not self.borders or not self.inside:
            return f"{self.name}: nothing to compare"
        edge = sorted(self.inside)[round(0.1 * (len(self.inside) - 1)) if self.worse == "lower" else round(0.9 * (len(self.inside) - 1))]
        beyond = sum(b < edge if self.worse == "lower" else b > edge for b in self.borders)
        return (
            f"{self.name}: at borders {_median(self.borders):.2f} {self.unit}, inside {_median(self.inside):.2f}; "
            f"{beyond} of {len(self.borders)} borders beyond nine in ten inside ({edge:.2f})"
        )


def seams(frames: Tensor, fps: float, waveform: Tensor, sample_rate: int, borders: Sequence[float], temporal_stride: int = 1) -> list[Seam]:
    """Frames (F, H, W, 3) in [0, 1], waveform (1, N), borders in seconds between the parts.

    A codec that decodes `temporal_stride` frames of each latent makes a small step at every latent, whatever it is given. Parts meet
    where latents do, so pictures inside are compared there too.
    """
    length = len(frames) / fps
    edges = [0.0, *borders, length]
    middles = [a + share * (b - a) for a, b in pairwise(edges) for share in (0.3, 0.4, 0.5, 0.6, 0.7)]

    def around(at: float, measure: Callable[[float, float], float | None]) -> float | None:
        pair = measure(max(at - WINDOW_SECONDS, 0), at), measure(at, min(at + WINDOW_SECONDS, length))
        return None if None in pair else abs(pair[1] - pair[0])  # type: ignore[operator]

    def level(start: float, stop: float) -> float | None:
        value = loudness(_cut(waveform, sample_rate, start, stop), sample_rate)
        return value if value > float("-inf") else None

    def tone(start: float, stop: float) -> float | None:
        pitch = pitch_of(_cut(waveform, sample_rate, start, stop), sample_rate)
        return None if pitch is None else 12 * math.log2(pitch)

    def look(at: float) -> float:
        n, i = round(WINDOW_SECONDS * fps), round(at * fps)
        return _psnr(frames[max(0, i - n) : i].mean(0), frames[i : i + n].mean(0))

    steps = [_psnr(frames[i - 1], frames[i]) for i in range(1, len(frames))]
    at_border = {round(b * fps) for b in borders}
    latents = range(1 + temporal_stride, len(steps), temporal_stride)

    def step(frame: int) -> float:
        return min(steps[max(0, frame - 2) : frame + 1])

    return [
        Seam(
            "picture, frame to frame", "dB", "lower",
            tuple(step(frame) for frame in sorted(at_border)),
            tuple(step(frame) for frame in latents if not any(abs(frame - border) <= 1 for border in at_border)),
        ),
        Seam("face and colours, second to second", "dB", "lower", tuple(look(b) for b in borders), tuple(look(m) for m in middles)),
        Seam("loudness", "LU", "higher", _all(borders, lambda t: around(t, level)), _all(middles, lambda t: around(t, level))),
        Seam("pitch", "semitones", "higher", _all(borders, lambda t: around(t, tone)), _all(middles, lambda t: around(t, tone))),
    ]  # fmt: skip


def pitch_of(waveform: Tensor, sample_rate: int) -> float | None:
    """Median of the fundamental of (1, N) over its loud moments, in Hz; None where there are too few."""
    if waveform.shape[-1] < sample_rate // 5:
        return None
    pitch = torchaudio.functional.detect_pitch_frequency(waveform, sample_rate, freq_low=LOWEST_HZ, freq_high=HIGHEST_HZ)[0]
    power = torch.nn.functional.adaptive_avg_pool1d(waveform.square()[None], len(pitch))[0, 0]
    voiced = pitch[power > 0.1 * power.max()]
    return float(voiced.median()) if len(voiced) >= LEAST_VOICED else None


def _all(moments: Sequence[float], measure: Callable[[float], float | None]) -> tuple[float, ...]:
    return tuple(value for value in map(measure, moments) if value is not None)


def _cut(waveform: Tensor, rate: int, start: float, stop: float) -> Tensor:
    return waveform[:, round(start * rate) : round(stop * rate)]


def _psnr(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10(max(float((a - b).square().mean()), 1e-10))


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
