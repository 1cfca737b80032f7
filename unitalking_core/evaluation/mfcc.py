"""The 13 cepstral coefficients that the published SyncNet hears: those of `python_speech_features` 0.6 with its defaults.

That means: 25 ms windows every 10 ms without a taper, pre-emphasis 0.97, 512-point power spectrum, 26 triangular mel filters between 0 Hz
and 8 kHz whose corners lie on whole FFT bins, orthonormal DCT-II, sine lifter of length 22, coefficient 0 replaced by the log of the
window's energy. Computed in float64, as there; sound on the scale of 16-bit integers, as its weights expect.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SAMPLE_RATE = 16000
"""Hz."""
STEP = 160
"""Samples between two windows: 100 windows a second."""
COEFFICIENTS = 13

_WINDOW = 400
_FFT = 512
_FILTERS = 26
_LIFTER = 22
_PRE_EMPHASIS = 0.97
_TINY = torch.finfo(torch.float64).eps  # what an energy of exactly 0 becomes before its logarithm


def mfcc(waveform: Tensor) -> Tensor:
    """waveform (N,) float in [-1, 1] at 16 kHz -> (13, 1 + ceil((N - 400) / 160)) float32; the last window is filled up with zeros.

    Raises ValueError for a waveform of another shape or without a sample.
    """
    if waveform.ndim != 1 or len(waveform) == 0:
        raise ValueError(f"a waveform of shape (N,) is needed, got {tuple(waveform.shape)}")
    signal = (waveform.double() * 32768).round().clamp(-32768, 32767)
    signal = torch.cat([signal[:1], signal[1:] - _PRE_EMPHASIS * signal[:-1]])
    windows = 1 + max(0, math.ceil((len(signal) - _WINDOW) / STEP))
    signal = torch.nn.functional.pad(signal, (0, (windows - 1) * STEP + _WINDOW - len(signal)))
    power = torch.fft.rfft(signal.unfold(0, _WINDOW, STEP), _FFT).abs().square() / _FFT
    cepstra = _log(power @ _mel_filters().T) @ _dct() * _lifter()
    cepstra[:, 0] = _log(power.sum(1))
    return cepstra.T.float()


def _log(energy: Tensor) -> Tensor:
    return torch.where(energy == 0, _TINY, energy).log()


def _mel_filters() -> Tensor:
    """(26, 257): each rises from one corner to the next and falls to the one after."""
    top = 2595 * math.log10(1 + SAMPLE_RATE / 2 / 700)
    hz = 700 * (10 ** (torch.linspace(0, top, _FILTERS + 2, dtype=torch.float64) / 2595) - 1)
    corner = ((_FFT + 1) * hz / SAMPLE_RATE).floor()
    left, middle, right = corner[:-2, None], corner[1:-1, None], corner[2:, None]
    at = torch.arange(_FFT // 2 + 1, dtype=torch.float64)
    rising = torch.where((at >= left) & (at < middle), (at - left) / (middle - left), 0)
    falling = torch.where((at >= middle) & (at < right), (right - at) / (right - middle), 0)
    return rising + falling


def _dct() -> Tensor:
    """(26, 13): the orthonormal DCT-II's first columns."""
    n = torch.arange(_FILTERS, dtype=torch.float64)[:, None]
    k = torch.arange(COEFFICIENTS, dtype=torch.float64)
    basis = torch.cos(math.pi * k * (2 * n + 1) / (2 * _FILTERS)) * math.sqrt(2 / _FILTERS)
    basis[:, 0] /= math.sqrt(2)
    return basis


def _lifter() -> Tensor:
    return 1 + _LIFTER / 2 * torch.sin(math.pi * torch.arange(COEFFICIENTS, dtype=torch.float64) / _LIFTER)
