"""A model that names public codecs and a public text encoder: read from their files, and a clip made with them without ComfyUI."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from reference import filled, manifest
from safetensors.torch import save_file
from tiny import tiny_config

from tests.codecs.published_weights import HIDDEN, raw_vae, raw_vocoder
from tests.conditions import tiny_umt5
from unitalking_core import checkpoint as checkpoints
from unitalking_core.checkpoint import CheckpointError
from unitalking_core.codecs import build_video_codec
from unitalking_core.codecs.convert import convert
from unitalking_core.codecs.mmaudio import mmaudio_config
from unitalking_core.codecs.wan import own_names
from unitalking_core.config import ConfigError, ModelConfig, TextConfig, VideoConfig
from unitalking_core.generate import Pipeline
from unitalking_core.parts import load_part
from unitalking_core.transformer import UniTalkingTransformer

for package in ("diffusers", "ftfy"):
    pytest.importorskip(package, reason=f"{package} is not installed (extra 'full')")

TEXT, VIDEO, AUDIO = checkpoints.TEXT_ENCODER, checkpoints.VIDEO_CODEC, checkpoints.AUDIO_CODEC


def full_shaped() -> ModelConfig:
    """The 10b preset's parts, narrow."""
    video = VideoConfig("wan2.2-vae", 48, 24, 32, 32, options={"base_dim": 16, "decoder_base_dim": 16})
    tiny = tiny_config(text_dim=32, video_channels=48, audio_channels=40)
    text = TextConfig("umt5-xxl", 24, dict(tiny_umt5.SIZES))
    return dataclasses.replace(tiny, video=video, audio=mmaudio_config("mmaudio-44k", HIDDEN, 64), text=text)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The checkpoint and, by part, the files it names: the VAE in Wan's names, UMT5 in ComfyUI's, the converted audio codec."""
    folder, config = tmp_path_factory.mktemp("full"), full_shaped()
    torch.manual_seed(0)
    checkpoints.save(folder / "model.safetensors", config, {"transformer": UniTalkingTransformer(config).state_dict()})
    shapes = build_video_codec(config.video).state_dict()
    published = {key: filled(key, tuple(shapes[own].shape)) for key in manifest("wan2.2_vae") for own in own_names({key: torch.empty(0)})}
    save_file(published, folder / "wan2.2_vae.safetensors")
    encoder = {f"encoder.{key}": value for key, value in tiny_umt5.make().encoder.state_dict().items()}
    encoder["shared.weight"] = encoder.pop("encoder.embed_tokens.weight")
    spiece = torch.tensor(list(tiny_umt5.tokenizer()), dtype=torch.uint8)
    save_file(encoder | {"spiece_model": spiece}, folder / "umt5.safetensors")
    save_file(encoder, folder / "umt5_bare.safetensors")
    torch.save(raw_vae("mmaudio-44k"), folder / "v1-44.pth")
    torch.save({"generator": raw_vocoder("mmaudio-44k", 64)}, folder / "bigvgan_generator.pt")
    convert(folder / "v1-44.pth", folder / "bigvgan_generator.pt", folder / "mmaudio.safetensors")
    return {
        "model": folder / "model.safetensors",
        TEXT: folder / "umt5.safetensors",
        VIDEO: folder / "wan2.2_vae.safetensors",
        AUDIO: folder / "mmaudio.safetensors",
    }


def test_a_clip_is_made_with_public_parts(files: dict[str, Path]) -> None:
    pipeline = Pipeline.load(files["model"], files={part: files[part] for part in (TEXT, VIDEO, AUDIO)})
    assert pipeline.text_encoder.encode(["a bird"]).dtype == torch.bfloat16
    clip = pipeline.generate("the birds sing", portrait=torch.rand(40, 40, 3), seconds=9 / 24, size=(32, 32), steps=2)
    frames = torch.cat(list(clip.frames()))
    assert frames.shape == (9, 32, 32, 3)
    assert clip.waveform.shape == (1, round(9 / 24 * 44100))
    assert torch.isfinite(clip.waveform).all()
    assert clip.waveform.std() > 0


def test_parts_that_are_nowhere_or_wrong_are_named(files: dict[str, Path]) -> None:
    model = checkpoints.load(files["model"])
    with pytest.raises(CheckpointError, match=r"model.safetensors does not hold its text encoder 'umt5-xxl'; name a file of it"):
        load_part(model, TEXT)
    with pytest.raises(CheckpointError, match=r"mmaudio.safetensors: this is .*44.1 kHz.*; MMAudio's audio codec for 16 kHz is expected"):
        other = dataclasses.replace(model, config=dataclasses.replace(model.config, audio=mmaudio_config("mmaudio-16k", 16, 64)))
        load_part(other, AUDIO, files[AUDIO])
    with pytest.raises(CheckpointError, match=r"weights do not fit the video codec umt5.safetensors"):
        load_part(model, VIDEO, files[TEXT])
    with pytest.raises(ConfigError, match=r"umt5_bare.safetensors holds no tokenizer: put spiece.model of google/umt5-xxl beside it"):
        load_part(model, TEXT, files[TEXT].with_name("umt5_bare.safetensors"))
    nano = dataclasses.replace(model, config=dataclasses.replace(model.config, text=TextConfig("nano-text", 24)))
    with pytest.raises(CheckpointError, match=r"has a text encoder of its own \('nano-text'\)"):
        load_part(nano, TEXT, files[TEXT])


def test_a_tokenizer_beside_the_file_is_found(files: dict[str, Path], tmp_path: Path) -> None:
    bare = tmp_path / "text_encoder" / "model.safetensors"
    bare.parent.mkdir()
    bare.write_bytes(files[TEXT].with_name("umt5_bare.safetensors").read_bytes())
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "spiece.model").write_bytes(tiny_umt5.tokenizer())
    encoder = load_part(checkpoints.load(files["model"]), TEXT, bare)
    assert encoder.encode(["a bird"]).shape == (1, 24, 32)
