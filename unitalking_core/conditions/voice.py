"""The reference voice: any recording -> mono, the model's rate, silence trimmed, one loudness, a few seconds; then its latent.

Waveforms are float32 in [-1, 1], (channels, samples).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor

ACTIVE_RMS = 0.075
"""Loudness of speech, measured over its active samples; the training corpus takes it from here."""
ACTIVE_ABOVE_PEAK = 0.05
SHORTEST_SECONDS = 0.5
COMFORTABLE_SECONDS = 2.5
SILENCE_PEAK = 1e-3
WINDOW_SECONDS = 0.02
ACTIVE_BELOW_LOUDEST_DB = 35.0


class VoiceError(ValueError):
    """A recording that cannot serve as a reference voice; the message says why and what to do."""


@dataclass(frozen=True)
class ReferenceVoice:
    """A prepared recording: waveform (1, N) at sample_rate, and a sentence on what was done."""

    waveform: Tensor
    sample_rate: int
    report: str

    @property
    def seconds(self) -> float:
        return self.waveform.shape[-1] / self.sample_rate


def prepare_voice(waveform: Tensor, sample_rate: int, target_rate: int, longest_seconds: float) -> ReferenceVoice:
    """Waveform (channels, N) at `sample_rate` -> ReferenceVoice at `target_rate`, at most `longest_seconds` long.

    Raises VoiceError for an empty, non-finite, silent or too short recording.
    """
    mono, given = mono_speech(waveform, sample_rate, target_rate)
    start, stop = _speech(mono[0], target_rate)
    spoken = (stop - start) / target_rate
    if spoken < SHORTEST_SECONDS:
        raise VoiceError(f"only {spoken:.2f} s of the voice recording are speech; 3 to 5 seconds are needed, {SHORTEST_SECONDS} at least")
    mono = mono[:, start : min(stop, start + round(longest_seconds * target_rate))]
    active = mono[mono.abs() > ACTIVE_ABOVE_PEAK * mono.abs().max()]
    mono = (mono * (ACTIVE_RMS / active.square().mean().sqrt())).clamp(-1, 1)
    return ReferenceVoice(mono, target_rate, _report(given, spoken, mono.shape[-1] / target_rate))


def whole_voice(waveform: Tensor, sample_rate: int, target_rate: int, longest_seconds: float) -> ReferenceVoice:
    """The same for speaker encoders, which hear a recording as it is: neither trimmed nor made louder. Raises VoiceError."""
    mono, given = mono_speech(waveform, sample_rate, target_rate)
    mono = mono[:, : round(longest_seconds * target_rate)]
    kept = mono.shape[-1] / target_rate
    return ReferenceVoice(mono, target_rate, _report(given, kept, kept))


def mono_speech(waveform: Tensor, sample_rate: int, target_rate: int) -> tuple[Tensor, float]:
    """Waveform (channels, N) -> (1, N') at `target_rate`, and how many seconds were given. Raises VoiceError."""
    if waveform.ndim != 2 or waveform.shape[-1] == 0:
        raise VoiceError(f"the voice recording is empty (shape {tuple(waveform.shape)}); record or load 3 to 5 seconds of speech")
    if sample_rate <= 0:
        raise VoiceError(f"the voice recording has an impossible sample rate ({sample_rate} Hz)")
    if not torch.isfinite(waveform).all():
        raise VoiceError("the voice recording holds NaN or infinite samples; export it again")
    mono = waveform.float().mean(0, keepdim=True)
    given = mono.shape[-1] / sample_rate
    if given < SHORTEST_SECONDS:
        raise VoiceError(
            f"the voice recording is only {given:.2f} s long; 3 to 5 seconds of speech are needed, {SHORTEST_SECONDS} at least"
        )
    if mono.abs().max() < SILENCE_PEAK:
        raise VoiceError("the voice recording is silent; check the microphone or the file's channels")
    if sample_rate != target_rate:
        mono = torchaudio.functional.resample(mono, sample_rate, target_rate)
    return mono, given


def fit_voice_tokens(latent: Tensor, tokens: int) -> Tensor:
    """Voice latent in model space (B, C, L) -> (B, C, tokens): cropped, or filled with zeros at the end, as in training."""
    return F.pad(latent[..., :tokens], (0, max(0, tokens - latent.shape[-1])))


def _speech(mono: Tensor, rate: int) -> tuple[int, int]:
    """First sample of speech and the first after it: where windows are loud compared with the loudest one."""
    window = max(1, round(WINDOW_SECONDS * rate))
    padded = F.pad(mono, (0, -len(mono) % window)).reshape(-1, window)
    level = padded.square().mean(1)
    loud = level > level.max() * 10 ** (-ACTIVE_BELOW_LOUDEST_DB / 10)
    index = loud.nonzero()[:, 0]
    return int(index[0]) * window, min((int(index[-1]) + 1) * window, len(mono))


def _report(given: float, spoken: float, kept: float) -> str:
    line = f"voice: {kept:.1f} s kept of {given:.1f} s"
    if kept < COMFORTABLE_SECONDS:
        line += "; 3 to 5 s of speech would be better"
    elif spoken > kept + 0.05:
        line += " (the first ones; the rest is more than the model reads)"
    return line
