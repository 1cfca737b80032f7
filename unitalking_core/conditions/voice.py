"""The reference voice: any recording -> mono, the model's rate, the best few seconds of speech, one loudness; then its latent.

Waveforms are float32 in [-1, 1], (channels, samples).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .activity import speech_segments
from .recording import LOUDNESS, SILENCE_PEAK, RecordingError, check_recording, downmix, gain_to, loudness, resample

ACTIVE_RMS = 0.075
"""Loudness of speech, measured over its active samples; the training corpus takes it from here."""
ACTIVE_ABOVE_PEAK = 0.05
SHORTEST_SECONDS = 0.5
COMFORTABLE_SECONDS = 2.5
TOO_SHORT = "\n3 to 5 s of speech would be better"
Find = Literal["speech", "sound"]
"""What of a recording is kept: speech, or (for whispers, creatures, songs) everything that is not silent."""
FINDS: tuple[Find, ...] = ("speech", "sound")
MARGIN_SECONDS = 0.05
PAUSE_SECONDS = 0.3
"""Longer pauses between words are cut down to this."""
FADE_SECONDS = 0.005
CLIPPED_PEAK = 0.999
WINDOW_SECONDS = 0.02
ACTIVE_BELOW_LOUDEST_DB = 35.0
FAR_DB = 12.0
"""A part this much quieter than the others is spoken from afar."""
BETTER = 1.1
"""How much better than an earlier excerpt a later one must be to be taken."""
Segment = tuple[float, float]
"""(start, stop) in seconds."""


class VoiceError(RecordingError):
    """A recording that cannot serve as a reference voice; the message says why and what to do."""


@dataclass(frozen=True)
class ReferenceVoice:
    """A prepared recording: waveform (1, N) at sample_rate, which parts of the recording it is, and a text on what was done."""

    waveform: Tensor
    sample_rate: int
    parts: tuple[Segment, ...]
    report: str

    @property
    def seconds(self) -> float:
        return self.waveform.shape[-1] / self.sample_rate


def prepare_voice(waveform: Tensor, sample_rate: int, target_rate: int, longest_seconds: float, find: Find = "speech") -> ReferenceVoice:
    """Waveform (channels, N) at `sample_rate` -> ReferenceVoice at `target_rate`, at most `longest_seconds` long.

    Raises VoiceError for an empty, non-finite, silent or too short recording, or one without speech.
    """
    mono, given = _mono(waveform, sample_rate)
    mono = mono - mono.mean()
    found = speech_segments(mono, sample_rate) if find == "speech" else [_loud(mono, sample_rate)]
    spoken = sum(stop - start for start, stop in found)
    if spoken < SHORTEST_SECONDS:
        raise VoiceError(
            f"only {spoken:.2f} s of the voice recording are speech; 3 to 5 seconds are needed, {SHORTEST_SECONDS} at least. "
            "For a whisper, a song or another sound, set 'find' to 'sound'"
        )
    parts = _best(mono, sample_rate, _with_margins(found, given), longest_seconds)
    kept = resample(_joined(mono, sample_rate, parts)[None], sample_rate, target_rate)[:, : round(longest_seconds * target_rate)]
    level = loudness(kept, target_rate)
    kept = (kept * gain_to(kept, target_rate)).clamp(-1, 1)
    report = _report(waveform.shape[0], sample_rate, given, spoken, parts, kept.shape[-1] / target_rate, level)
    return ReferenceVoice(kept, target_rate, parts, report)


def whole_voice(waveform: Tensor, sample_rate: int, target_rate: int, longest_seconds: float) -> ReferenceVoice:
    """The same for speaker encoders, which hear a recording's first seconds as they are: neither cut nor made louder. Raises VoiceError."""
    mono, given = _mono(waveform, sample_rate)
    kept = resample(mono[None], sample_rate, target_rate)[:, : round(longest_seconds * target_rate)]
    seconds = kept.shape[-1] / target_rate
    report = f"voice: {seconds:.1f} s of {given:.1f} s heard, as they are"
    if seconds < COMFORTABLE_SECONDS:
        report += TOO_SHORT
    return ReferenceVoice(kept, target_rate, ((0.0, seconds),), report)


def _mono(waveform: Tensor, sample_rate: int) -> tuple[Tensor, float]:
    """Waveform (channels, N) -> (N,), and its seconds. Raises VoiceError for what no voice can be made of."""
    try:
        check_recording(waveform, sample_rate, "the voice recording")
    except RecordingError as error:
        raise VoiceError(f"{error}; record or load 3 to 5 seconds of speech") from None
    given = waveform.shape[-1] / sample_rate
    if given < SHORTEST_SECONDS:
        raise VoiceError(
            f"the voice recording is only {given:.2f} s long; 3 to 5 seconds of speech are needed, {SHORTEST_SECONDS} at least"
        )
    mono = downmix(waveform)[0]
    if (mono - mono.mean()).abs().max() < SILENCE_PEAK:
        raise VoiceError("the voice recording is silent; check the microphone or the file's channels")
    return mono, given


def fit_voice_tokens(latent: Tensor, tokens: int) -> Tensor:
    """Voice latent in model space (B, C, L) -> (B, C, tokens): cropped, or filled with zeros at the end, as in training."""
    return F.pad(latent[..., :tokens], (0, max(0, tokens - latent.shape[-1])))


def _loud(mono: Tensor, rate: int) -> Segment:
    """From the first to the last window (N,) that is loud compared with the loudest one."""
    window = max(1, round(WINDOW_SECONDS * rate))
    level = F.pad(mono, (0, -len(mono) % window)).reshape(-1, window).square().mean(1)
    index = (level > level.max() * 10 ** (-ACTIVE_BELOW_LOUDEST_DB / 10)).nonzero()[:, 0]
    return int(index[0]) * window / rate, min((int(index[-1]) + 1) * window, len(mono)) / rate


def _with_margins(found: list[Segment], end: float) -> list[Segment]:
    """A little more on both sides, so that no sound is cut off; never into the neighbour."""
    edges = [0.0, *((a[1] + b[0]) / 2 for a, b in itertools.pairwise(found)), end]
    return [
        (max(start - MARGIN_SECONDS, low), min(stop + MARGIN_SECONDS, high))
        for (start, stop), low, high in zip(found, edges, edges[1:], strict=False)
    ]


def _best(mono: Tensor, rate: int, found: list[Segment], longest: float) -> tuple[Segment, ...]:
    """Of all excerpts that begin with a segment, the one with most speech, counting clipped and far-away speech less."""
    pieces = [mono[round(start * rate) : round(stop * rate)] for start, stop in found]
    level = torch.stack([10 * torch.log10(p.square().mean() + 1e-12) for p in pieces])
    near = torch.where(level < level.median() - FAR_DB, 0.5, 1.0)
    peak = mono.abs().max().clamp(max=1.0)
    clean = torch.stack([1 - (20 * (p.abs() >= CLIPPED_PEAK * peak).float().mean()).clamp(max=0.9) for p in pieces])
    worth = (near * clean).tolist()
    best, best_score = _excerpt(found, 0, longest), -1.0
    for first in range(len(found)):
        excerpt = _excerpt(found, first, longest)
        score = sum((stop - start) * worth[first + i] for i, (start, stop) in enumerate(excerpt))
        if score > best_score * BETTER:
            best, best_score = excerpt, score
    return tuple(best)


def _excerpt(found: list[Segment], first: int, longest: float) -> list[Segment]:
    """Segments from `first` on, with the pauses between them, until `longest` seconds are full."""
    taken: list[Segment] = []
    room = longest
    for start, stop in found[first:]:
        room -= min(start - taken[-1][1], PAUSE_SECONDS) if taken else 0.0
        if room < MARGIN_SECONDS * 2:
            break
        taken.append((start, min(stop, start + room)))
        room -= stop - start
    return taken


def _joined(mono: Tensor, rate: int, parts: tuple[Segment, ...]) -> Tensor:
    """The parts (N,) one after the other, a pause between them as long as it was, or cut down; faded where something was cut."""
    fade = max(1, round(FADE_SECONDS * rate))
    ramp = torch.linspace(0, 1, fade + 2)[1:-1]
    pieces: list[Tensor] = []
    for i, (start, stop) in enumerate(parts):
        pause = start - parts[i - 1][1] if i else 0.0
        if 0 < pause <= PAUSE_SECONDS:  # the pause itself, room sound and all
            start = parts[i - 1][1]
        elif pause:
            pieces.append(mono.new_zeros(round(PAUSE_SECONDS * rate)))
        pieces.append(mono[round(start * rate) : round(stop * rate)].clone())
        if pause > PAUSE_SECONDS:
            pieces[-3][-fade:] *= ramp.flip(0)
            pieces[-1][:fade] *= ramp
    pieces[-1][-fade:] *= ramp.flip(0)
    return torch.cat(pieces)


def _report(channels: int, rate: int, given: float, spoken: float, parts: tuple[Segment, ...], kept: float, level: float) -> str:
    where = ", ".join(f"{start:.1f}-{stop:.1f}" for start, stop in _merged(parts))
    line = f"voice: {kept:.1f} s kept of {given:.1f} s ({spoken:.1f} s of it speech): {where} s"
    line += f"\n{channels} channel{'s' * (channels > 1)} at {rate} Hz; loudness {level:.0f} LUFS, now {LOUDNESS:.0f}"
    if kept < COMFORTABLE_SECONDS:
        line += TOO_SHORT
    return line


def _merged(parts: tuple[Segment, ...]) -> list[Segment]:
    """Parts whose pause was kept read as one."""
    out: list[Segment] = []
    for start, stop in parts:
        if out and start - out[-1][1] <= PAUSE_SECONDS:
            out[-1] = (out[-1][0], stop)
        else:
            out.append((start, stop))
    return out
