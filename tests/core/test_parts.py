"""A model that names public codecs and a public text encoder: read from their files, and a clip made with them without ComfyUI."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pytest
import torch
from full_shaped import full_shaped, write_public_parts

from tests.conditions import tiny_umt5
from unitalking_core import checkpoint as checkpoints
from unitalking_core.checkpoint import CheckpointError
from unitalking_core.codecs.mmaudio import mmaudio_config
from unitalking_core.config import ConfigError, TextConfig
from unitalking_core.generate import Pipeline
from unitalking_core.part_options import add_part_options, part_files
from unitalking_core.parts import load_part
from unitalking_core.transformer import UniTalkingTransformer

for package in ("diffusers", "ftfy"):
    pytest.importorskip(package, reason=f"{package} is not installed (extra 'full')")

TEXT, VIDEO, AUDIO = checkpoints.TEXT_ENCODER, checkpoints.VIDEO_CODEC, checkpoints.AUDIO_CODEC


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The checkpoint and, by part, the files it names."""
    folder, config = tmp_path_factory.mktemp("full"), full_shaped()
    torch.manual_seed(0)
    checkpoints.save(folder / "model.safetensors", config, {"transformer": UniTalkingTransformer(config).state_dict()})
    return {"model": folder / "model.safetensors", **write_public_parts(folder)}


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


def test_the_command_line_names_parts_as_checkpoints_do() -> None:
    parser = argparse.ArgumentParser()
    add_part_options(parser)
    assert part_files(parser.parse_args(["--vae", "wan.safetensors"])) == {VIDEO: Path("wan.safetensors")}
    given = parser.parse_args(["--text-encoder", "a", "--vae", "b", "--audio-codec", "c"])
    assert list(part_files(given)) == [TEXT, VIDEO, AUDIO]
