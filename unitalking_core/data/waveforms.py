"""Waveforms of the synthetic corpus: their one sample rate, and the few things done to them whatever engine spoke.

A waveform is float32 (N,) in -1..1 at SAMPLE_RATE.
"""

from __future__ import annotations

import numpy as np

SAMPLE_RATE = 16000


class SpeechError(RuntimeError):
    """An engine is missing or failed, or a recording could not be aligned with its words."""


def resampled(waveform: np.ndarray, old: int, new: int) -> np.ndarray:
    """float32 (N,) at `old` Hz -> float32 (about N * new / old,) at `new` Hz."""
    if old == new:
        return waveform
    import torch
    import torchaudio

    return torchaudio.functional.resample(torch.from_numpy(waveform), old, new).numpy()


def shifted(waveform: np.ndarray, factor: float) -> np.ndarray:
    """Pitch and formants times `factor` (to a hundredth), duration divided by it: float32 (N,) -> (about N / factor,).

    Speed perturbation as in Ko et al., "Audio augmentation for speech recognition" (Interspeech 2015).
    """
    # Whole hundredths: two rates without a common divisor would need a filter for each of their many phases.
    return resampled(waveform, round(factor * 100) * SAMPLE_RATE // 100, SAMPLE_RATE)


def tilted(waveform: np.ndarray, decibels_per_octave: float) -> np.ndarray:
    """Brighter (above 0) or darker (below), around 1 kHz and no lower than 60 Hz: float32 (N,) -> (N,)."""
    spectrum = np.fft.rfft(waveform)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE), 60.0) / 1000.0)
    return np.fft.irfft(spectrum * 10.0 ** (decibels_per_octave * octaves / 20.0), len(waveform)).astype(np.float32)


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """float (N,) in -1..1 -> int16 (N,), clipped."""
    return np.round(np.clip(waveform, -1.0, 1.0) * 32767.0).astype(np.int16)
