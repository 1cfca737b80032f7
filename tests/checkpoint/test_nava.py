"""NAVA's public files: every weight has its place, in 16 bits, in 8 bits with a scale a row, and out of a pickle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from checkpoint.published import Shapes, write_sparse
from reference import GOLDEN, filled
from safetensors.torch import save_file
from torch import Tensor

from unitalking_core.checkpoint import TRANSFORMER, CheckpointError, check_fit, detect, load, read_config, without_scales
from unitalking_core.checkpoint.nava import our_names
from unitalking_core.checkpoint.quantization import FP8_ROWS
from unitalking_core.checkpoint.report import describe
from unitalking_core.cli import main
from unitalking_core.presets import nava_6b
from unitalking_core.transformer import UniTalkingTransformer


def published() -> Shapes:
    """Names and shapes of the 6B, with the prefix that its files have."""
    shapes: Shapes = {}
    for key, (count, shape) in json.loads((GOLDEN / "nava_6b.json").read_text()).items():
        keys = [key.replace("*", str(n)) for n in range(count)] if "*" in key else [key]
        shapes |= {f"backbone.{name}": tuple(shape) for name in keys}
    return shapes


def small() -> dict[str, Tensor]:
    """One block of each kind, narrow, filled by the reference's rule, in NAVA's names."""
    sizes = {3072: 128, 14336: 64, 8192: 64, 4096: 32, 18432: 768}
    shapes = {key: tuple(sizes.get(n, n) for n in shape) for key, (_, shape) in json.loads((GOLDEN / "nava_6b.json").read_text()).items()}
    return {f"backbone.{(name := key.replace('*', '0'))}": filled(name, shape) for key, shape in shapes.items()}


def in_fp8(name: str, shape: tuple[int, ...]) -> bool:
    return "_blocks." in name and name.endswith(".weight") and len(shape) == 2


@pytest.mark.parametrize("layout", ["F32", "BF16", "fp8"])
def test_the_6b_has_all_its_weights_and_no_other(tmp_path: Path, layout: str) -> None:
    shapes, path = published(), tmp_path / "nava.safetensors"
    assert (len(shapes), sum(torch.Size(s).numel() for s in shapes.values())) == (1052, 6_296_995_520)
    kinds: dict[str, str] = {}
    if layout == "fp8":
        kinds = {name: "F8_E4M3" for name, shape in shapes.items() if in_fp8(name, shape)}
        assert len(kinds) == 380
        shapes |= {f"{name}_scale": shapes[name][:1] for name in kinds}
    write_sparse(path, shapes, {name: kinds.get(name, "BF16" if layout == "fp8" else layout) for name in shapes})
    assert detect(path).title == "a NAVA model"
    file = load(path)
    assert file.config == nava_6b() == read_config(path)
    with torch.device("meta"):
        wanted = UniTalkingTransformer(file.config).state_dict()
    check_fit(wanted, without_scales(file.part(TRANSFORMER)), "transformer")
    assert {how["format"] for how in file.quantization.values()} == ({FP8_ROWS} if kinds else set())
    assert len(file.quantization) == len(kinds)
    assert all(f"{layer}.weight" in wanted for layer in file.quantization)
    assert "6,297.00 M parameters in 1052 tensors" in describe(str(path))


def test_a_pickle_becomes_a_checkpoint_of_ours(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    weights, out = small(), tmp_path / "nava.safetensors"
    torch.save({"state_dict": weights}, tmp_path / "nava.ckpt")
    assert main(["convert-nava", str(tmp_path / "nava.ckpt"), "--out", str(out), "--dtype", "fp32"]) == 0
    save_file(weights, tmp_path / "theirs.safetensors")
    ours, theirs = load(out), load(tmp_path / "theirs.safetensors")
    assert ours.config == theirs.config
    assert ours.parts[TRANSFORMER].keys() == theirs.parts[TRANSFORMER].keys() == set(our_names(weights).values())
    for name, value in ours.parts[TRANSFORMER].items():
        assert torch.equal(value, theirs.parts[TRANSFORMER][name])
    torch.save({"state_dict": {"x": torch.ones(1)}}, tmp_path / "other.ckpt")
    assert main(["convert-nava", str(tmp_path / "other.ckpt"), "--out", str(tmp_path / "no.safetensors")]) == 1
    assert "this is no NAVA model" in capsys.readouterr().err
    assert not (tmp_path / "no.safetensors").exists()


def test_an_incomplete_file_is_refused(tmp_path: Path) -> None:
    weights = small()
    del weights["backbone.single_blocks.0.ffn.2.bias"]
    save_file(weights, tmp_path / "nava.safetensors")
    with pytest.raises(CheckpointError, match=r"this is a NAVA model, but .*1 missing: blocks\.1\.ffn\.2\.bias"):
        load(tmp_path / "nava.safetensors")
