"""MMAudio's codec in the real host: core's audio nodes work on it and give what the core package gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from scripts.comfy_client import Prompt
from tests.codecs.published_weights import HIDDEN, raw_vae, raw_vocoder
from tests.server.graphs import main_job, write_wave
from tests.server.harness import ComfyServer
from tests.server.scaled import scaled_config, scaled_parts
from unitalking_core import checkpoint as checkpoints
from unitalking_core.codecs.audio_file import load_audio_codec
from unitalking_core.codecs.convert import DTYPES, convert
from unitalking_core.codecs.mmaudio import mmaudio_config

RATE, SAMPLES = 44100, 60 * 1024
SAME = {"atol": 1e-5, "rtol": 1e-4}


@pytest.fixture(scope="module")
def codec_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small 44.1 kHz codec in fp16, made by the command's own function."""
    folder = tmp_path_factory.mktemp("codec")
    torch.save(raw_vae("mmaudio-44k"), folder / "v1-44.pth")
    torch.save({"generator": raw_vocoder("mmaudio-44k", 64)}, folder / "bigvgan_generator.pt")
    convert(folder / "v1-44.pth", folder / "bigvgan_generator.pt", folder / "codec.safetensors", DTYPES["fp16"])
    return folder / "codec.safetensors"


def sound() -> Tensor:
    t = torch.arange(SAMPLES) / RATE
    return 0.3 * torch.sin(2 * torch.pi * 220 * t) * torch.sin(2 * torch.pi * 3 * t)


def graph(codec: Path) -> Prompt:
    """LoadAudio, VAEEncodeAudio, both decoders."""
    return {
        "1": {"class_type": "ProbeAudioCodec", "inputs": {"path": str(codec)}},
        "2": {"class_type": "LoadAudio", "inputs": {"audio": "codec_sound.wav"}},
        "3": {"class_type": "VAEEncodeAudio", "inputs": {"audio": ["2", 0], "vae": ["1", 0]}},
        "4": {"class_type": "VAEDecodeAudio", "inputs": {"samples": ["3", 0], "vae": ["1", 0]}},
        "5": {"class_type": "VAEDecodeAudioTiled", "inputs": {"samples": ["3", 0], "vae": ["1", 0], "tile_size": 32, "overlap": 8}},
        "90": {"class_type": "ProbeLatent", "inputs": {"latent": ["3", 0], "name": "codec_latent"}},
        "91": {"class_type": "ProbeAudio", "inputs": {"audio": ["4", 0], "name": "codec_whole"}},
        "92": {"class_type": "ProbeAudio", "inputs": {"audio": ["5", 0], "name": "codec_tiled"}},
    }


def test_core_nodes_encode_and_decode(comfy: ComfyServer, codec_file: Path) -> None:
    """The tiled decoder's tiles leave no seam: they give the whole one's sound."""
    wave = sound()
    write_wave(comfy.base / "input" / "codec_sound.wav", wave, RATE)
    run = comfy.queue(graph(codec_file))
    assert run.ok, run.explain()
    latent = load_file(comfy.base / "output" / "codec_latent.safetensors")["samples.0"]
    whole, tiled = (load_file(comfy.base / "output" / f"codec_{kind}.safetensors") for kind in ("whole", "tiled"))

    _, codec = load_audio_codec(codec_file)
    with torch.no_grad():
        wanted = codec.encode((wave * 32767).short().float()[None, None] / 32768)
        torch.testing.assert_close(latent, wanted, **SAME)
        made = codec.decode(latent)
    assert whole["sample_rate"] == tiled["sample_rate"] == RATE
    torch.testing.assert_close(whole["waveform"], made, **SAME)
    assert (tiled["waveform"] - whole["waveform"]).abs().max() < 1e-6


def test_a_stereo_recording_is_mixed(comfy: ComfyServer, codec_file: Path) -> None:
    wave = sound()
    write_wave(comfy.base / "input" / "codec_sound.wav", 0.5 * wave, RATE)
    write_wave(comfy.base / "input" / "codec_right.wav", torch.zeros(SAMPLES), RATE)
    prompt = graph(codec_file)
    del prompt["4"], prompt["5"], prompt["91"], prompt["92"]
    assert comfy.queue(prompt).ok
    halved = load_file(comfy.base / "output" / "codec_latent.safetensors")["samples.0"]
    write_wave(comfy.base / "input" / "codec_left.wav", wave, RATE)
    prompt["2"]["inputs"]["audio"] = "codec_left.wav"
    prompt["21"] = {"class_type": "LoadAudio", "inputs": {"audio": "codec_right.wav"}}
    prompt["22"] = {"class_type": "JoinAudioChannels", "inputs": {"audio_left": ["2", 0], "audio_right": ["21", 0]}}
    prompt["3"]["inputs"]["audio"] = ["22", 0]
    run = comfy.queue(prompt)
    assert run.ok, run.explain()
    mixed = load_file(comfy.base / "output" / "codec_latent.safetensors")["samples.0"]
    assert (mixed - halved).square().mean().sqrt() < 0.05 * halved.std()


def test_what_core_saves_can_be_loaded_again(comfy: ComfyServer, codec_file: Path) -> None:
    prompt = {
        "1": {"class_type": "ProbeAudioCodec", "inputs": {"path": str(codec_file)}},
        "2": {"class_type": "VAESave", "inputs": {"vae": ["1", 0], "filename_prefix": "codec"}},
    }
    run = comfy.queue(prompt)
    assert run.ok, run.explain()
    [saved] = (comfy.base / "output").glob("codec_0*.safetensors")
    config, codec = load_audio_codec(saved)
    original, wanted = load_audio_codec(codec_file)
    assert config == original
    assert all(torch.equal(value, wanted.state_dict()[key]) for key, value in codec.state_dict().items())


def test_a_file_of_another_kind_is_named(comfy: ComfyServer, codec_file: Path) -> None:
    wrong = codec_file.with_name("vae.safetensors")
    save_file(raw_vae("mmaudio-44k"), wrong)
    run = comfy.queue(graph(wrong))
    assert not run.ok
    assert "an audio codec made by `unitalking convert-audio-codec` is expected" in run.explain()
    assert comfy.running


def test_a_model_speaks_through_its_codec(studio: ComfyServer, codec_file: Path) -> None:
    """The main job on a model that names MMAudio's codec: the reference voice in, 44.1 kHz sound out."""
    config = replace(scaled_config(), name="10b-codec", audio=mmaudio_config("mmaudio-44k", HIDDEN, 64))
    parts = scaled_parts(config)
    del parts[checkpoints.AUDIO_CODEC]
    checkpoints.save(studio.base / "models" / "unitalking" / "speaks.safetensors", config, parts)
    folder = studio.base / "models" / "audio_codecs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mmaudio_44k.safetensors").write_bytes(codec_file.read_bytes())

    prompt = main_job()
    prompt["1"]["inputs"] |= {"checkpoint": "speaks.safetensors", "audio_codec": "mmaudio_44k.safetensors"}
    prompt["8"]["inputs"]["steps"] = 2
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    with av.open(str(studio.files(run)[0])) as clip:
        assert clip.streams.audio[0].rate == 44100
        samples = sum(frame.samples for frame in clip.decode(audio=0))
    assert abs(samples - round(13 / 24 * 44100)) <= 1024
