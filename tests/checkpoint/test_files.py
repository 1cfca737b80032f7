"""Checkpoints: what goes in comes out; a wrong file says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny_config, tiny_model

from unitalking_core.checkpoint import AUDIO_CODEC, TRANSFORMER, CheckpointError, load, load_into, read_config, save
from unitalking_core.config import ConfigError, ModelConfig
from unitalking_core.transformer import UniTalkingTransformer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save(path, tiny_config(), {TRANSFORMER: tiny_model().state_dict(), AUDIO_CODEC: {"mel.weight": torch.ones(3)}})
    return path


def test_round_trip(file: Path) -> None:
    checkpoint = load(file)
    assert checkpoint.config == tiny_config() == read_config(file)
    assert torch.equal(checkpoint.part(AUDIO_CODEC)["mel.weight"], torch.ones(3))
    model = UniTalkingTransformer(checkpoint.config, device="meta")
    load_into(model, checkpoint.part(TRANSFORMER), "transformer")
    for got, want in zip(model.state_dict().values(), tiny_model().state_dict().values(), strict=True):
        assert torch.equal(got, want)


def test_a_part_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no video codec"):
        load(file).part("video_codec")


def test_missing_and_misshapen_weights_are_named(file: Path) -> None:
    state = load(file).part(TRANSFORMER)
    del state["audio.head.head.bias"]
    state["head.head.bias"] = torch.ones(2)
    with pytest.raises(CheckpointError, match=r"1 missing: audio.head.head.bias; 1 of the wrong shape: head.head.bias is \(2,\)"):
        load_into(UniTalkingTransformer(tiny_config(), device="meta"), state, "transformer")


def test_a_file_of_another_model_is_told_what_it_is(tmp_path: Path) -> None:
    save_file({"head.modulation": torch.ones(1, 2, 4)}, tmp_path / "wan.safetensors")
    with pytest.raises(CheckpointError, match="this is a part of a Wan model"):
        load(tmp_path / "wan.safetensors")


def test_truncated_and_missing_files(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut off"):
        load(file)
    with pytest.raises(CheckpointError, match="no such file"):
        load(file.with_name("absent.safetensors"))


def test_a_failed_save_leaves_the_old_file(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(Exception):  # noqa: B017  whatever safetensors raises for a tensor it cannot store
        save(file, tiny_config(), {TRANSFORMER: {"x": torch.ones(2).to_sparse()}})
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_config_survives_metadata_and_names_unknown_entries() -> None:
    config = tiny_config()
    assert ModelConfig.from_metadata(config.to_metadata()) == config
    with pytest.raises(ConfigError, match="unknown entries wings"):
        ModelConfig.from_metadata({"config": config.to_metadata()["config"].replace('"name"', '"wings": 1, "name"')})
