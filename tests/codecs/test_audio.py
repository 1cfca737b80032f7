"""The nano audio codec: token grid, a vocoder that inverts its mel and repeats itself, half precision, the meta device."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from unitalking_core.codecs import build_audio_codec
from unitalking_core.codecs.audio import NanoAudioCodec
from unitalking_core.codecs.mel import Mel
from unitalking_core.config import AudioConfig, ConfigError

CONFIG = AudioConfig(codec="nano-audio", channels=8, sample_rate=16000, samples_per_token=640, options={"hidden": 16, "iterations": 20})


def tone(samples: int = 16000, hz: float = 220.0) -> torch.Tensor:
    """A buzz of ten harmonics with a slow swell, (1, 1, samples)."""
    t = torch.arange(samples) / 16000
    buzz = sum(torch.sin(2 * math.pi * hz * k * t) / k for k in range(1, 11))
    return (0.1 * buzz * (0.6 + 0.4 * torch.sin(2 * math.pi * 3 * t)))[None, None]


@pytest.fixture
def codec() -> NanoAudioCodec:
    torch.manual_seed(0)
    return build_audio_codec(CONFIG).eval().requires_grad_(False)


@pytest.mark.parametrize("samples", [1, 640, 641, 32667])
def test_tokens_cover_every_sample(codec: NanoAudioCodec, samples: int) -> None:
    latent = codec.encode(tone(samples))
    assert latent.shape == (1, 8, math.ceil(samples / 640))
    assert codec.decode(latent).shape == (1, 1, latent.shape[2] * 640)


def test_the_vocoder_inverts_the_mel() -> None:
    mel = Mel(16000, 1024, 320, 128, iterations=50, momentum=0.99)
    wanted = mel.analyse(tone()[0])
    again = mel.analyse(mel.synthesise(wanted))
    assert again.shape == wanted.shape == (1, 128, 50)
    assert (again - wanted).abs().mean() < 0.4
    assert (mel.analyse(torch.zeros(1, 16000)) - wanted).abs().mean() > 2


def test_a_click_stays_in_its_place() -> None:
    mel = Mel(16000, 1024, 320, 128, iterations=50, momentum=0.99)
    click = torch.zeros(1, 6400)
    click[0, 3200:3210] = 0.5
    assert abs(int(mel.synthesise(mel.analyse(click)).abs().argmax()) - 3205) < 160


def test_decoding_repeats_itself_and_leaves_the_random_state_alone(codec: NanoAudioCodec) -> None:
    latent = codec.encode(tone())
    state = torch.get_rng_state()
    first = codec.decode(latent)
    assert torch.equal(first, codec.decode(latent))
    assert torch.equal(state, torch.get_rng_state())


def test_half_precision_and_meta_construction(codec: NanoAudioCodec) -> None:
    with torch.device("meta"):
        other = build_audio_codec(CONFIG)
    other.load_state_dict(codec.state_dict(), assign=True)
    assert torch.equal(other.encode(tone()), codec.encode(tone()))
    half = other.to(torch.bfloat16)
    latent = half.encode(tone())
    assert latent.dtype == torch.bfloat16
    assert half.decode(latent).dtype == torch.float32


def test_bad_input_and_options_are_named(codec: NanoAudioCodec) -> None:
    with pytest.raises(ValueError, match=r"\(B, 1, N\), got \(1, 2, 640\)"):
        codec.encode(torch.zeros(1, 2, 640))
    with pytest.raises(ConfigError, match="unknown vocoder 'theremin'; this version has griffin-lim"):
        build_audio_codec(dataclasses.replace(CONFIG, options={"vocoder": "theremin"}))
    with pytest.raises(ConfigError, match="no whole number of hops"):
        build_audio_codec(dataclasses.replace(CONFIG, samples_per_token=600))
