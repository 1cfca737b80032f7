"""Voice files: whole or not at all, and good for one codec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.server.graphs import random_config
from unitalking_core.codecs import build_audio_codec
from unitalking_core.conditions.voice_file import SavedVoice, VoiceFileError, codec_id, load_voice, save_voice


def voice() -> SavedVoice:
    torch.manual_seed(0)
    config = random_config().audio
    return SavedVoice(torch.randn(1, 10, 30), torch.rand(1, 4000) - 0.5, 16000, "Ina", "hers", codec_id(config, build_audio_codec(config)))


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = voice()
    save_voice(tmp_path / "ina.safetensors", saved)
    again = load_voice(tmp_path / "ina.safetensors", saved.codec)
    assert torch.equal(again.latent, saved.latent)
    torch.testing.assert_close(again.preview, saved.preview, atol=1 / 32767, rtol=0)
    assert (again.name, again.licence, again.sample_rate, again.codec) == ("Ina", "hers", 16000, saved.codec)
    assert [p.name for p in tmp_path.iterdir()] == ["ina.safetensors"]


def test_two_trainings_of_one_codec_are_told_apart() -> None:
    config = random_config().audio
    torch.manual_seed(1)
    codec = build_audio_codec(config)
    first = codec_id(config, codec)
    assert first == codec_id(config, codec)
    assert replace(first, weights="") == replace(codec_id(config, build_audio_codec(config)), weights="")
    assert first != codec_id(config, build_audio_codec(config))


def test_what_is_no_voice_of_this_codec_is_refused(tmp_path: Path) -> None:
    saved, path = voice(), tmp_path / "ina.safetensors"
    save_voice(path, saved)
    with pytest.raises(VoiceFileError, match=r"the voice 'Ina' \(ina.safetensors\) was made by the audio codec nano-audio"):
        load_voice(path, replace(saved.codec, weights="000000000000"))
    save_file({"latent": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(VoiceFileError, match="holds no voice"):
        load_voice(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(VoiceFileError, match=r"text.safetensors is not a readable"):
        load_voice(tmp_path / "text.safetensors")


def test_nothing_half_made_is_left(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="No such file"):
        save_voice(tmp_path / "no" / "ina.safetensors", voice())
    assert not list(tmp_path.iterdir())
