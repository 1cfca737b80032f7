"""Loudness, downmixing, resampling: against known answers."""

from __future__ import annotations

import math

import pytest
import torch

from unitalking_core.conditions.recording import LOUDNESS, RecordingError, downmix, gain_to, loudness, prepare_speech, resample


def sine(hz: float, rate: int, seconds: float = 2.0, level: float = 1.0) -> torch.Tensor:
    return level * torch.sin(2 * math.pi * hz * torch.arange(round(seconds * rate)) / rate)[None]


def test_loudness_is_bs1770s() -> None:
    """ITU-R BS.1770: a full-scale 997 Hz sine in one channel measures -3.01 LUFS."""
    assert loudness(sine(997, 48000), 48000) == pytest.approx(-3.01, abs=0.05)
    assert loudness(sine(997, 48000, level=0.1), 48000) == pytest.approx(-23.01, abs=0.05)
    assert loudness(torch.zeros(1, 48000), 48000) == float("-inf")
    assert gain_to(torch.zeros(1, 48000), 48000) == 1


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44099, 44100, 96000, 192000])
def test_a_tone_keeps_its_pitch_at_every_rate(rate: int) -> None:
    out = resample(sine(440, rate), rate, 16000)
    assert out.shape[-1] == pytest.approx(32000, abs=2)
    spectrum = torch.fft.rfft(out[0, :32000] * torch.hann_window(min(32000, out.shape[-1]))).abs()
    assert spectrum.argmax() / 2 == pytest.approx(440, abs=0.5)


def test_downmix() -> None:
    left, right = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(downmix(left[None]), left[None])
    torch.testing.assert_close(downmix(torch.stack([left, right])), ((left + right) / 2)[None])
    assert torch.equal(downmix(torch.stack([left, -left])), left[None])
    surround = torch.zeros(6, 1000)
    surround[2], surround[3] = left, 100 * right
    torch.testing.assert_close(downmix(surround), (left / 5)[None])


def test_given_speech_keeps_its_place_and_tells_its_gain() -> None:
    waveform = torch.cat([torch.zeros(1, 8000), sine(500, 16000, 1, 0.01)], 1)
    heard, gain = prepare_speech(waveform, 16000, 16000, 32000)
    assert heard.shape == (1, 32000)
    assert not heard[:, :8000].any()
    assert not heard[:, 24000:].any()
    torch.testing.assert_close(heard[:, 8000:24000], waveform[:, 8000:] * gain)
    assert loudness(heard, 16000) == pytest.approx(LOUDNESS, abs=0.5)
    with pytest.raises(RecordingError, match="NaN"):
        prepare_speech(waveform * float("nan"), 16000, 16000, 100)
