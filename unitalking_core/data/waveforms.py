"""Waveforms of the synthetic corpus: their one sample rate, and the few things done to them whatever engine spoke.

A waveform is float32 (N,) in -1..1 at SAMPLE_RATE.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SAMPLE_RATE = 16000
TONE_BANDS = (125, 250, 500, 1000, 2000, 4000, 8000)
"""In hertz."""
PITCH_RANGE = (60.0, 500.0)
"""Of human and of engines' voices, in hertz."""


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


def intoned(waveform: np.ndarray, pitch: float, liveliness: float) -> np.ndarray:
    """Pitch alone times `pitch`, its ups and downs times `liveliness`, formants and duration as they were: float32 (N,) -> (N,).

    Praat's "Change gender" (overlap-add at the pitch periods). Raises SpeechError where Praat's Python package is missing or nothing
    is voiced.
    """
    try:
        from parselmouth import PraatError, Sound
        from parselmouth.praat import call, run
    except ImportError as error:
        raise SpeechError("changing the pitch alone needs praat-parselmouth: pip install praat-parselmouth") from error
    sound = Sound(waveform.astype(np.float64), float(SAMPLE_RATE))
    heard = sound.to_pitch(pitch_floor=PITCH_RANGE[0], pitch_ceiling=PITCH_RANGE[1]).selected_array["frequency"]
    if not (heard > 0).any():
        raise SpeechError("there is no voice in this recording whose pitch could be changed")
    run("random_initializeWithSeedUnsafelyButPredictably (1)")  # where nothing is voiced it draws its periods
    try:
        changed = call(sound, "Change gender", *PITCH_RANGE, 1.0, pitch * float(np.median(heard[heard > 0])), liveliness, 1.0)
    except PraatError as error:
        raise SpeechError(f"Praat cannot change this pitch: {error}") from error
    return changed.values[0].astype(np.float32)


def toned(waveform: np.ndarray, decibels: Sequence[float]) -> np.ndarray:
    """So many decibels louder at each of TONE_BANDS, between them on straight lines over octaves: float32 (N,) -> (N,)."""
    spectrum = np.fft.rfft(waveform)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE), 1.0))
    gains = np.interp(octaves, np.log2(TONE_BANDS), decibels)
    return np.fft.irfft(spectrum * 10.0 ** (gains / 20.0), len(waveform)).astype(np.float32)


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """float (N,) in -1..1 -> int16 (N,), clipped."""
    return np.round(np.clip(waveform, -1.0, 1.0) * 32767.0).astype(np.int16)
