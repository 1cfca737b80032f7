"""Voice activity on real (synthesised) speech in noise, against where the clean recording is loud."""

from __future__ import annotations

import wave

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.host import ROOT
from unitalking_core.conditions.activity import speech_segments
from unitalking_core.conditions.recording import resample

RATE = 16000
HOP = 160


def recording() -> Tensor:
    """Two people, a pause before, between and after."""
    voices = []
    for name in ("voice_woman", "voice_man"):
        with wave.open(str(ROOT / "models" / "nano" / "examples" / f"{name}.wav")) as file:
            samples = torch.frombuffer(bytearray(file.readframes(file.getnframes())), dtype=torch.int16).float() / 32768
            voices.append(resample(samples, file.getframerate(), RATE))
    pause = torch.zeros(RATE)
    return torch.cat([pause, voices[0], pause, voices[1], pause])


def truth(clean: Tensor) -> Tensor:
    """Frames within 40 dB of the loudest, short gaps closed."""
    level = F.pad(clean, (0, -len(clean) % HOP)).reshape(-1, HOP).square().mean(1)
    loud = (level > 1e-4 * level.max()).float()[None]
    return -F.max_pool1d(-F.max_pool1d(loud, 15, 1, 7), 15, 1, 7)[0] > 0


def found(mono: Tensor) -> Tensor:
    frames = torch.zeros(-(-len(mono) // HOP), dtype=torch.bool)
    for start, stop in speech_segments(mono, RATE):
        frames[round(start * 100) : round(stop * 100)] = True
    return frames


def coloured(length: int, power: float) -> Tensor:
    spectrum = torch.fft.rfft(torch.randn(length, generator=torch.Generator().manual_seed(0)))
    noise = torch.fft.irfft(spectrum / torch.arange(len(spectrum)).clamp(min=20).float() ** (power / 2), length)
    return noise / noise.std()


@pytest.mark.parametrize(
    ("power", "decibels", "precision", "recall"),
    [(None, 0, 0.97, 0.97), (0, 20, 0.97, 0.93), (1, 20, 0.97, 0.93), (2, 10, 0.97, 0.9), (0, 10, 0.97, 0.75)],
)
def test_speech_in_noise(power: float | None, decibels: float, precision: float, recall: float) -> None:
    clean = recording()
    noise = 0 if power is None else coloured(len(clean), power) * clean[clean.abs() > 1e-3].std() * 10 ** (-decibels / 20)
    is_speech, said = truth(clean), found(clean + noise)
    both = (is_speech & said).sum()
    assert both / said.sum() >= precision
    assert both / is_speech.sum() >= recall


@pytest.mark.parametrize("power", [0, 1, 2])
def test_noise_alone_holds_no_speech(power: float) -> None:
    assert speech_segments(0.05 * coloured(5 * RATE, power), RATE) == []


def test_knocks_hold_no_speech() -> None:
    knocks = torch.zeros(5 * RATE)
    for place in range(4000, 5 * RATE - 400, 9000):
        knocks[place : place + 200] = torch.randn(200, generator=torch.Generator().manual_seed(place)) * torch.linspace(1, 0, 200)
    assert speech_segments(knocks + 0.001 * coloured(5 * RATE, 0), RATE) == []


def test_segments_are_in_the_recordings_own_seconds() -> None:
    clean = recording()
    slow, plain = speech_segments(resample(clean, RATE, 48000), 48000), speech_segments(clean, RATE)
    assert len(slow) == len(plain)
    assert all(abs(a - b) < 0.05 for one, other in zip(slow, plain, strict=True) for a, b in zip(one, other, strict=True))
