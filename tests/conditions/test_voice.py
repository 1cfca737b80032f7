"""A recording becomes a reference voice: what is kept, at which loudness, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.voices import spoken
from unitalking_core.conditions.recording import LOUDNESS, loudness
from unitalking_core.conditions.voice import ReferenceVoice, VoiceError, fit_voice_tokens, prepare_voice

RATE = 16000


def silence(seconds: float, rate: int = RATE) -> Tensor:
    return torch.zeros(1, round(seconds * rate))


def noise(seconds: float, level: float = 0.1) -> Tensor:
    return level * torch.randn(1, round(seconds * RATE), generator=torch.Generator().manual_seed(0))


def tone(seconds: float, hz: float = 220) -> Tensor:
    return 0.3 * torch.sin(2 * math.pi * hz * torch.arange(round(seconds * RATE)) / RATE)[None]


def prepared(*parts: Tensor, longest: float = 5.0, rate: int = RATE) -> ReferenceVoice:
    return prepare_voice(torch.cat(parts, 1), rate, RATE, longest)


def test_silence_at_both_ends_is_cut() -> None:
    voice = prepared(silence(1), spoken(3), silence(1))
    assert voice.seconds == pytest.approx(3.05, abs=0.1)
    assert voice.parts[0][0] == pytest.approx(1, abs=0.1)
    assert "kept of 5.0 s" in voice.report


@pytest.mark.parametrize("level", [0.003, 0.3, 1.0])
def test_one_loudness_whatever_came_in(level: float) -> None:
    assert loudness(prepared(spoken(3, level=level)).waveform, RATE) == pytest.approx(LOUDNESS, abs=0.2)


@pytest.mark.parametrize(("channels", "rate"), [(1, 8000), (2, 44100), (6, 48000), (8, 48000), (1, 192000), (2, 44099), (32, 16000)])
def test_any_channels_and_rate(channels: int, rate: int) -> None:
    """The same voice, whatever it was recorded with."""
    voice = prepare_voice(spoken(3, rate).expand(channels, -1), rate, RATE, 5)
    reference = prepared(spoken(3))
    assert voice.waveform.shape[0] == 1
    assert voice.seconds == pytest.approx(reference.seconds, abs=0.05)
    spectra = [torch.fft.rfft(v.waveform[0], 3 * RATE).abs()[: 3 * 3000] for v in (voice, reference)]
    assert torch.nn.functional.cosine_similarity(*spectra, dim=0) > 0.9


def test_speech_is_found_among_channels() -> None:
    """In one of eight, beside a rumble; in opposite phase, where the mean is silent."""
    surround = torch.zeros(8, 3 * RATE)
    surround[2], surround[3] = spoken(3)[0], tone(3, 40)[0]
    opposite = torch.cat([spoken(3), -spoken(3)])
    for waveform in (surround, opposite):
        voice = prepare_voice(waveform, RATE, RATE, 5)
        assert voice.seconds == pytest.approx(3, abs=0.1)
        spectrum = torch.fft.rfft(voice.waveform[0]).abs()
        assert spectrum[: round(60 * voice.seconds)].max() < 0.1 * spectrum.max()


def test_the_best_part_of_a_long_recording_is_kept() -> None:
    """Not the clipped and not the far one; long pauses are cut down, and what is kept is said."""
    clipped = (spoken(3) * 8).clamp(-1, 1)
    voice = prepared(clipped, silence(2), 0.05 * spoken(3), silence(2), spoken(3), silence(1), longest=3)
    assert voice.parts[0][0] == pytest.approx(10, abs=0.1)
    assert voice.seconds == pytest.approx(3, abs=0.01)
    words = prepared(spoken(1), silence(4), spoken(1), silence(4), spoken(1))
    assert words.seconds == pytest.approx(3 + 2 * 0.3, abs=0.3)
    assert len(words.parts) == 3


def test_an_hour_costs_what_its_speech_costs() -> None:
    voice = prepared(silence(1), spoken(2), silence(240), longest=3)
    assert voice.seconds == pytest.approx(2, abs=0.2)


def test_steady_background_does_not_count_as_speech() -> None:
    voice = prepare_voice(torch.cat([silence(1.5), spoken(3), silence(1.5)], 1) + noise(6, 0.01) + 0.2 * tone(6, 50), RATE, RATE, 5)
    assert voice.parts[0][0] == pytest.approx(1.5, abs=0.15)
    assert voice.parts[-1][1] == pytest.approx(4.5, abs=0.15)


@pytest.mark.parametrize("sound", [noise(3), tone(3), tone(3, 50), torch.cat([silence(1), tone(2), silence(1)], 1)])
def test_noise_hum_and_tones_are_no_voice_unless_asked_for(sound: Tensor) -> None:
    with pytest.raises(VoiceError, match=r"only 0\.00 s of the voice recording are speech"):
        prepare_voice(sound, RATE, RATE, 5)
    assert prepare_voice(sound, RATE, RATE, 5, find="sound").seconds >= 2


def test_little_speech_is_said() -> None:
    assert "would be better" in prepared(spoken(1)).report


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.zeros(1, 0), "empty"),
        (torch.zeros(3 * RATE), "empty"),
        (silence(3), "silent"),
        (spoken(0.1), "only 0.10 s long"),
        (torch.full((1, RATE), float("nan")), "NaN"),
        (torch.cat([silence(1), spoken(0.3), silence(1)], 1), "of the voice recording are speech"),
    ],
)
def test_what_cannot_be_a_voice_is_refused(waveform: Tensor, message: str) -> None:
    with pytest.raises(VoiceError, match=message):
        prepare_voice(waveform, RATE, RATE, 5)


def test_latents_are_cropped_or_filled_to_a_fixed_length() -> None:
    latent = torch.ones(1, 2, 5)
    assert fit_voice_tokens(latent, 3).shape == (1, 2, 3)
    assert fit_voice_tokens(latent, 7)[0, 0].tolist() == [1, 1, 1, 1, 1, 0, 0]
