"""A recording becomes a reference voice: what is kept, at which loudness, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unitalking_core.conditions.voice import ACTIVE_RMS, VoiceError, fit_voice_tokens, prepare_voice

RATE = 16000


def tone(seconds: float, rate: int = RATE, level: float = 0.3) -> Tensor:
    return level * torch.sin(2 * math.pi * 220 * torch.arange(round(seconds * rate)) / rate)[None]


def test_silence_at_both_ends_is_cut() -> None:
    quiet = torch.zeros(1, RATE)
    voice = prepare_voice(torch.cat([quiet, tone(3), quiet], 1), RATE, RATE, 5)
    assert voice.seconds == pytest.approx(3, abs=0.05)
    assert voice.report == "voice: 3.0 s kept of 5.0 s"


@pytest.mark.parametrize("level", [0.01, 0.3, 1.0])
def test_one_loudness_whatever_came_in(level: float) -> None:
    waveform = prepare_voice(tone(3, level=level), RATE, RATE, 5).waveform
    active = waveform[waveform.abs() > 0.05 * waveform.abs().max()]
    assert active.square().mean().sqrt() == pytest.approx(ACTIVE_RMS, rel=0.01)


@pytest.mark.parametrize(("channels", "rate"), [(1, 8000), (2, 44100), (6, 48000), (1, 192000)])
def test_any_channels_and_rate(channels: int, rate: int) -> None:
    voice = prepare_voice(tone(3, rate).expand(channels, -1), rate, RATE, 5)
    assert voice.waveform.shape[0] == 1
    assert voice.seconds == pytest.approx(3, abs=0.05)
    spectrum = torch.fft.rfft(voice.waveform[0]).abs()
    assert spectrum.argmax() / voice.seconds == pytest.approx(220, abs=1)


def test_more_than_the_model_reads_is_cut_and_said() -> None:
    voice = prepare_voice(tone(9), RATE, RATE, 3)
    assert voice.seconds == pytest.approx(3)
    assert "the first ones" in voice.report
    assert "would be better" in prepare_voice(tone(1), RATE, RATE, 3).report


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.zeros(1, 0), "empty"),
        (torch.zeros(1, 3 * RATE), "silent"),
        (tone(0.1), "only 0.10 s long"),
        (torch.full((1, RATE), float("nan")), "NaN"),
        (torch.cat([torch.zeros(1, RATE), tone(0.1), torch.zeros(1, RATE)], 1), "0.1. s of the voice recording are speech"),
    ],
)
def test_what_cannot_be_a_voice_is_refused(waveform: Tensor, message: str) -> None:
    with pytest.raises(VoiceError, match=message):
        prepare_voice(waveform, RATE, RATE, 5)


def test_latents_are_cropped_or_filled_to_a_fixed_length() -> None:
    latent = torch.ones(1, 2, 5)
    assert fit_voice_tokens(latent, 3).shape == (1, 2, 3)
    assert fit_voice_tokens(latent, 7)[0, 0].tolist() == [1, 1, 1, 1, 1, 0, 0]
