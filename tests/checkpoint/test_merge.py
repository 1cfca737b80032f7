"""Averaging two checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_config, tiny_model

from unitalking_core.checkpoint import AUDIO_CODEC, TRANSFORMER, CheckpointError, load, save
from unitalking_core.cli import main
from unitalking_core.config import ModelConfig


def written(path: Path, factor: float = 1.0, config: ModelConfig | None = None) -> Path:
    """The tiny model in half precision, its weights times `factor`, with a codec of that value."""
    state = {key: (factor * tensor).half() for key, tensor in tiny_model().state_dict().items()}
    save(path, config or tiny_config(), {TRANSFORMER: state, AUDIO_CODEC: {"mel.weight": torch.full((3,), factor)}})
    return path


def test_weights_are_averaged_and_codecs_are_the_firsts(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first, second = written(tmp_path / "a.safetensors"), written(tmp_path / "b.safetensors", 3.0)
    assert main(["merge", str(first), str(second), "--share", "0.25", "--out", str(tmp_path / "c.safetensors")]) == 0
    assert "0.75 of a.safetensors, 0.25 of b.safetensors" in capsys.readouterr().out
    made, before = load(tmp_path / "c.safetensors"), load(first).part(TRANSFORMER)
    assert made.config == tiny_config()
    assert torch.equal(made.part(AUDIO_CODEC)["mel.weight"], torch.ones(3))
    assert made.part(TRANSFORMER).keys() == before.keys()
    for key, tensor in made.part(TRANSFORMER).items():
        assert tensor.dtype is torch.float16
        torch.testing.assert_close(tensor, 1.5 * before[key], atol=1e-4, rtol=2e-3)


@pytest.mark.parametrize("share", ["0", "1"])
def test_all_of_one_is_that_one(tmp_path: Path, share: str) -> None:
    files = [written(tmp_path / "a.safetensors"), written(tmp_path / "b.safetensors", 3.0)]
    assert main(["merge", *map(str, files), "--share", share, "--out", str(tmp_path / "c.safetensors")]) == 0
    wanted = load(files[int(share)]).part(TRANSFORMER)
    assert all(torch.equal(tensor, wanted[key]) for key, tensor in load(tmp_path / "c.safetensors").part(TRANSFORMER).items())


def test_what_cannot_be_merged_is_refused_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first, out = written(tmp_path / "a.safetensors"), tmp_path / "c.safetensors"
    other = written(tmp_path / "b.safetensors", config=replace(tiny_config(), audio=replace(tiny_config().audio, max_voice_tokens=7)))
    assert main(["merge", str(first), str(other), "--out", str(out)]) == 1
    assert "not of one model: they differ in audio" in capsys.readouterr().err
    assert main(["merge", str(first), str(first), "--share", "1.5", "--out", str(out)]) == 1
    assert "--share is between 0 and 1" in capsys.readouterr().err
    state = load(first).part(TRANSFORMER)
    state.pop("head.head.bias")
    save(other, tiny_config(), {TRANSFORMER: state, AUDIO_CODEC: {"mel.weight": torch.ones(3)}})
    assert main(["merge", str(first), str(other), "--out", str(out)]) == 1
    assert "head.head.bias is in one of them only" in capsys.readouterr().err
    assert not out.exists()


def test_quantised_checkpoints_are_refused(tmp_path: Path) -> None:
    from unitalking_core.checkpoint.merge import merge

    plain = load(written(tmp_path / "a.safetensors"))
    with pytest.raises(CheckpointError, match="quantised"):
        merge(tmp_path / "c.safetensors", plain, replace(plain, quantization={"blocks.0.ffn.0": {"format": "q8_0"}}), 0.5)
