"""A warm start: every weight of the sources is used or left out for a reason, and the video stream is Wan, number for number."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint.published import (
    in_diffusers_names,
    manifest,
    small_wan,
    weights,
    write_shards,
    write_sparse,
    write_sparse_shards,
)
from reference import golden
from safetensors.torch import load_file, save_file

from unitalking_core.checkpoint import TRANSFORMER, CheckpointError, load, load_into
from unitalking_core.checkpoint.accounting import Plan, plan
from unitalking_core.checkpoint.assemble import assemble
from unitalking_core.checkpoint.layouts import is_voice
from unitalking_core.checkpoint.quantization import quantized
from unitalking_core.cli import main
from unitalking_core.transformer import UniTalkingTransformer

DIT = {"atol": 5e-5, "rtol": 1e-4}


def transformer(path: Path) -> UniTalkingTransformer:
    file = load(path)
    model = UniTalkingTransformer(file.config, device="meta")
    load_into(model, file.part(TRANSFORMER), "transformer", torch.float32)
    return model.eval()


def one_file(folder: Path) -> Path:
    save_file(weights(small_wan()), folder / "wan.safetensors")
    return folder / "wan.safetensors"


def host_file(folder: Path) -> Path:
    save_file({f"model.diffusion_model.{key}": value for key, value in weights(small_wan()).items()}, folder / "saved.safetensors")
    return folder / "saved.safetensors"


def shards(folder: Path) -> Path:
    return write_shards(folder / "Wan2.2-TI2V-5B", weights(small_wan()))


def diffusers_shards(folder: Path) -> Path:
    write_shards(folder / "pipeline" / "transformer", in_diffusers_names(weights(small_wan())), count=2)
    return folder / "pipeline"


def diffusers_shard_without_index(folder: Path) -> Path:
    inside = write_shards(folder / "pipeline", in_diffusers_names(weights(small_wan())), count=2, index=False)
    return sorted(inside.iterdir())[1]


@pytest.mark.parametrize("layout", [one_file, host_file, shards, diffusers_shards, diffusers_shard_without_index])
@torch.no_grad()
def test_the_video_stream_is_wan_from_every_layout(layout: Callable[[Path], Path], tmp_path: Path) -> None:
    """Through a file, against the outputs of Wan's own code."""
    out = tmp_path / "made.safetensors"
    assemble(layout(tmp_path), "random", out, dtype="fp32")
    model, g = transformer(out), golden("wan_dit_tiny")
    got, _ = model(g["x"], None, g["t_per_frame"], None, model.prepare(g["context"]))
    torch.testing.assert_close(got, g["out_per_frame"], **DIT)


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    wan = one_file(tmp_path)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assemble(wan, "random", tmp_path / f"{name}.safetensors", dtype="bf16", seed=seed)
    a, b, c = ((tmp_path / f"{name}.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_copied_twin_has_wans_weights_where_it_can(tmp_path: Path) -> None:
    assemble(one_file(tmp_path), "copy", tmp_path / "made.safetensors", dtype="fp32")
    state, wan = load(tmp_path / "made.safetensors").part(TRANSFORMER), weights(small_wan())
    for key, value in wan.items():
        ours = f"audio.{key}.weight" if key.endswith("modulation") else f"audio.{key}"
        if not key.startswith(("patch_embedding", "head.head")):
            assert torch.equal(state[ours], value), ours
    assert state["audio.patch_embedding.weight"].shape == (256, 40, 1)
    assert not state["audio.head.head.weight"].any()


@pytest.mark.parametrize("form", ["present", "present, described by tensors", "old"])
def test_scaled_fp8_is_multiplied_out(form: str, tmp_path: Path) -> None:
    """Repackaged Wan files in each spelling of scales."""
    plain = weights(small_wan())
    tensors, metadata, layers = dict(plain), {}, [k.removesuffix(".weight") for k, v in plain.items() if v.ndim == 2 and "blocks" in k]
    for layer in layers:
        tensors[f"{layer}.weight"], scale = quantized(plain[f"{layer}.weight"])
        tensors[f"{layer}.scale_weight" if form == "old" else f"{layer}.weight_scale"] = scale
        if form == "present, described by tensors":
            tensors[f"{layer}.comfy_quant"] = torch.tensor(list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8)
    if form == "present":
        metadata = {"_quantization_metadata": json.dumps({"layers": {layer: {"format": "float8_e4m3fn"} for layer in layers}})}
    if form == "old":
        tensors["scaled_fp8"] = torch.zeros(0, dtype=torch.float8_e4m3fn)
    save_file(tensors, tmp_path / "fp8.safetensors", metadata=metadata)
    assemble(tmp_path / "fp8.safetensors", "random", tmp_path / "made.safetensors", dtype="fp32")
    state = load_file(tmp_path / "made.safetensors")
    for layer in layers:
        error = (state[f"{layer}.weight"] - plain[f"{layer}.weight"]).abs()
        assert (error <= plain[f"{layer}.weight"].abs() / 16 + error.new_tensor(2**-9) * plain[f"{layer}.weight"].abs().max() / 448).all()
    assert torch.equal(state["head.head.weight"], plain["head.head.weight"])


def test_scaled_fp8_output(tmp_path: Path) -> None:
    """The host's format: blocks' matrices in fp8 with a scale, all else in bf16, told in the metadata; read back by the core."""
    wan = one_file(tmp_path)
    assemble(wan, "random", tmp_path / "fp8.safetensors", dtype="fp8_e4m3fn_scaled")
    assemble(wan, "random", tmp_path / "fp32.safetensors", dtype="fp32")
    state, exact = load_file(tmp_path / "fp8.safetensors"), load_file(tmp_path / "fp32.safetensors")
    layers = load(tmp_path / "fp8.safetensors").quantization
    assert layers["audio.blocks.1.cross_attn.v_voice"] == {"format": "float8_e4m3fn"}
    assert len(layers) == 2 * 2 * 12
    for key, value in state.items():
        layer = key.removesuffix(".weight")
        kind = torch.float8_e4m3fn if layer in layers else torch.float32 if key.endswith(".weight_scale") else torch.bfloat16
        assert value.dtype == kind, key
    for key, value in transformer(tmp_path / "fp8.safetensors").state_dict().items():
        torch.testing.assert_close(value, exact[key], rtol=2**-4, atol=float(exact[key].abs().max()) * 2**-9)


def used(made: Plan, prefix: str = "") -> int:
    return sum(origin is not None for name, origin in made.origins.items() if name.startswith("audio.") == (prefix == "audio."))


@pytest.mark.parametrize("name", ["wan2.2_ti2v_5b", "wan2.2_ti2v_5b.diffusers"])
@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_every_weight_of_wan22_5b_is_used(name: str, dtype: str, tmp_path: Path) -> None:
    """The published file's names and shapes, in one file and in shards."""
    for path in (
        write_sparse(tmp_path / "wan.safetensors", manifest(name), dtype),
        write_sparse_shards(tmp_path / "shards", manifest(name), dtype=dtype),
    ):
        made = plan(path, "random")
        assert made.config.name == "10b"
        assert (used(made), used(made, "audio."), made.dropped) == (825, 0, {})
        assert all(is_voice(key) or key.startswith("audio.") for key, origin in made.origins.items() if origin is None)
    assert used(plan(path, "copy"), "audio.") == 821


@pytest.mark.parametrize(("rate", "taken", "left_out"), [("44k", 821, [1035, 210, 5, 2]), ("16k", 823, [1035, 210, 5])])
def test_every_weight_of_ovi_is_used_or_left_out_for_a_reason(rate: str, taken: int, left_out: list[int], tmp_path: Path) -> None:
    wan = write_sparse(tmp_path / "wan.safetensors", manifest("wan2.2_ti2v_5b"))
    ovi = write_sparse(tmp_path / "ovi.safetensors", manifest("ovi_fusion_11b"))
    made = plan(wan, f"ovi:{ovi}", rate)
    assert used(made, "audio.") == taken
    assert sorted(map(len, made.dropped.values()), reverse=True) == left_out
    assert taken + sum(left_out) == 2073
    assert "left out (video_model." in made.describe()


def test_an_assembled_model_of_full_size_fits(tmp_path: Path) -> None:
    """As its names and shapes go: what `assemble` writes is what `load` reads and the transformer wants."""
    made = plan(write_sparse(tmp_path / "wan.safetensors", manifest("wan2.2_ti2v_5b")), "random")
    file = load(write_sparse(tmp_path / "10b.safetensors", dict(made.shapes), metadata=made.config.to_metadata()))
    model = UniTalkingTransformer(file.config, device="meta")
    load_into(model, file.part(TRANSFORMER), "transformer")
    assert sum(p.numel() for p in model.parameters()) == 11_150_788_840


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wan, out = one_file(tmp_path), tmp_path / "made.safetensors"
    assert main(["assemble", "--video", str(wan), "--audio-rate", "16k", "--out", str(out)]) == 0
    printed, progress = capsys.readouterr()
    assert "69 weights of the picture's stream from a Wan2.2-TI2V transformer" in printed
    assert "peak memory" in printed
    assert "\r" not in progress, "in a log nothing is written over"
    assert progress.splitlines()[-1].startswith("100% of")
    assert len(progress.splitlines()) == len(set(progress.splitlines())) <= 101
    assert load(out).config.audio.codec == "mmaudio-16k"
    assert main(["info", str(out)]) == 0
    assert '"audio": "random"' in capsys.readouterr().out


def test_a_failure_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = weights(small_wan())
    tensors["blocks.1.ffn.2.weight"][3, 4] = float("nan")
    save_file(tensors, tmp_path / "wan.safetensors")
    out = tmp_path / "out" / "made.safetensors"
    assert main(["assemble", "--video", str(tmp_path / "wan.safetensors"), "--out", str(out)]) == 1
    assert "wan.safetensors: blocks.1.ffn.2.weight holds NaN" in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []


def test_a_source_is_never_overwritten(tmp_path: Path) -> None:
    wan = one_file(tmp_path)
    with pytest.raises(CheckpointError, match="one of the files that are read"):
        assemble(wan, "random", wan)


MEASURE = """
import sys
from pathlib import Path
from unitalking_core.checkpoint.assemble import assemble
from unitalking_core.memory import peak_memory
small, large, out = map(Path, sys.argv[1:])
assemble(small, "copy", out, dtype="bf16")
before = peak_memory()
assemble(large, "copy", out, dtype="bf16")
print(peak_memory() - before, out.stat().st_size)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the system does not tell the peak")
def test_memory_stays_near_one_weight(tmp_path: Path) -> None:
    """A model of 0.65 GB from one of 0.29 GB: what is added to the interpreter's memory is a few of its largest weights."""
    small = write_sparse(tmp_path / "small.safetensors", small_wan())
    large = write_sparse(tmp_path / "large.safetensors", small_wan(dim=1024, layers=8, ffn=4096, text=4096))
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, small, large, tmp_path / "out.safetensors"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    added, size = map(int, run.stdout.split())
    assert size > 600e6
    assert added < 150e6
