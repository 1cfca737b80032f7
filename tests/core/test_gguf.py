"""GGUF: blocks against the gguf package's values (golden, gguf 0.19.0), files there and back, and what is said about bad ones."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from reference import golden
from tiny import tiny_config, tiny_model

from unitalking_core import checkpoint as checkpoints
from unitalking_core.checkpoint import TRANSFORMER, Checkpoint, CheckpointError, ggml, gguf
from unitalking_core.cli import main


@pytest.mark.parametrize("kind", ggml.KINDS)
def test_blocks_unpack_to_the_reference_values(kind: str) -> None:
    g = golden("ggml_blocks")
    values = g[f"{kind}.values"]
    assert ggml.packed_shape(kind, values.shape) == tuple(g[f"{kind}.packed"].shape)
    torch.testing.assert_close(ggml.unpack(g[f"{kind}.packed"], kind, values.shape), values, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize(("kind", "error"), [("q4_0", 0.15), ("q5_0", 0.07), ("q8_0", 0.01)])
def test_what_is_packed_is_as_close_as_the_references(kind: str, error: float) -> None:
    g = golden("ggml_blocks")
    weight = g["weight"]
    unpacked = ggml.unpack(ggml.pack(weight, kind), kind, weight.shape)
    ours, theirs = ((x - weight).square().mean().sqrt() for x in (unpacked, g[f"{kind}.values"]))
    assert ours <= 1.02 * theirs < error
    assert torch.equal(unpacked[1, :32], torch.zeros(32))


def checkpoint(tmp_path: Path, dim: int = 64) -> Checkpoint:
    sizes = {"dim": dim, "heads": 2, "ffn_dim": 128}
    state = tiny_model(**sizes).state_dict()
    return Checkpoint(tmp_path / "tiny.safetensors", tiny_config(**sizes), {TRANSFORMER: state, "text_encoder": {"a": torch.ones(3)}})


def test_a_file_keeps_configuration_shapes_and_weights(tmp_path: Path) -> None:
    source = checkpoint(tmp_path)
    gguf.save(tmp_path / "tiny.gguf", source, "q8_0")
    loaded = gguf.load(tmp_path / "tiny.gguf")
    assert loaded.config == source.config
    assert torch.equal(loaded.part("text_encoder")["a"], torch.ones(3))
    state = loaded.part(TRANSFORMER)
    assert state.keys() == source.part(TRANSFORMER).keys()
    assert {"blocks.0.self_attn.q", "audio.blocks.1.ffn.2"} <= loaded.quantization.keys()
    for key, weight in source.part(TRANSFORMER).items():
        how = loaded.quantization.get(key.removesuffix(".weight")) if key.endswith(".weight") else None
        if how is None:
            assert torch.equal(state[key], weight), key
        else:
            assert how["shape"] == list(weight.shape)
            torch.testing.assert_close(ggml.unpack(state[key], how["format"], how["shape"]), weight, atol=0.02, rtol=0)
    assert (tmp_path / "tiny.gguf").stat().st_size < 0.6 * sum(4 * w.numel() for w in source.part(TRANSFORMER).values())


def test_rows_that_are_not_whole_blocks_stay_plain(tmp_path: Path) -> None:
    gguf.save(tmp_path / "tiny.gguf", checkpoint(tmp_path, dim=40), "q4_0")
    assert set(gguf.load(tmp_path / "tiny.gguf").quantization) == {f"{s}blocks.{i}.ffn.2" for s in ("", "audio.") for i in (0, 1)}


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    gguf.save(path, checkpoint(tmp_path), "q8_0")
    whole = path.read_bytes()
    for content, message in (
        (whole[:-100], "bad.gguf is cut off"),
        (whole[:200], "not a readable GGUF file"),
        (b"PK\x03\x04", "not a readable GGUF file"),
        (whole.replace(b"unitalking", b"unitalkind", 1), "a GGUF file of a unitalkind model|configuration"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 60), "not a readable GGUF file"),
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            gguf.load(path)


def test_what_cannot_be_packed_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    source = checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="only as q4_0, q5_0, q8_0"):
        gguf.save(tmp_path / "a.gguf", source, "q4_k")
    with pytest.raises(CheckpointError, match="quantised already"):
        gguf.save(tmp_path / "a.gguf", replace(source, quantization={"blocks.0.self_attn.q": {"format": "float8_e4m3fn"}}), "q8_0")
    assert not list(tmp_path.iterdir())


def test_the_command_makes_a_file_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = checkpoint(tmp_path)
    checkpoints.save(source.path, source.config, source.parts)
    assert main(["convert-gguf", str(source.path), "--kind", "q4_0", "--out", str(tmp_path / "tiny.gguf")]) == 0
    assert "GB before" in capsys.readouterr().out
    assert gguf.load(tmp_path / "tiny.gguf").config == source.config
    assert main(["convert-gguf", str(tmp_path / "none.safetensors"), "--out", str(tmp_path / "b.gguf")]) != 0
    assert "none.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_conversion_that_is_asked_to_end_leaves_no_file(how: signal.Signals, tmp_path: Path) -> None:
    """In the middle of writing, in a process of its own."""
    source = checkpoint(tmp_path)
    checkpoints.save(source.path, source.config, source.parts)
    ends_half_way = (
        "import os, signal, sys; from unitalking_core import cli; from unitalking_core.checkpoint import ggml;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # what starts in the background of a shell ignores it
        f"ggml.pack = lambda *_: os.kill(os.getpid(), {int(how)}); sys.exit(cli.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", ends_half_way, "convert-gguf", str(source.path), "--out", str(tmp_path / "out" / "tiny.gguf")]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert ended.returncode == 128 + how, ended.stderr
    assert b"Traceback" not in ended.stderr
    assert list((tmp_path / "out").iterdir()) == []
