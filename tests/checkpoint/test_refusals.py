"""What is refused: every message names the file, what is wrong with it and what to do."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint.published import STEM, small_wan, weights, write_shards, write_sparse
from safetensors.torch import load_file, save_file
from tiny import tiny_config, tiny_model

from unitalking_core.checkpoint import TRANSFORMER, CheckpointError, load, load_into, require_codec, save
from unitalking_core.checkpoint.assemble import assemble
from unitalking_core.presets import ten_b
from unitalking_core.transformer import UniTalkingTransformer

GET_AGAIN = "download"


def ours(path: Path) -> Path:
    save(path, tiny_config(), {TRANSFORMER: tiny_model().state_dict()})
    return path


def into_model(path: Path) -> None:
    file = load(path)
    load_into(UniTalkingTransformer(file.config, device="meta"), file.part(TRANSFORMER), f"transformer of {path.name}")


def into_assembly(path: Path) -> None:
    try:
        assemble(path, "random", path.parent / "out" / "made.safetensors")
    finally:
        assert not (path.parent / "out").exists() or not list((path.parent / "out").iterdir())


def from_ovi(path: Path) -> None:
    save_file(weights(small_wan()), path.parent / "wan.safetensors")
    assemble(path.parent / "wan.safetensors", f"ovi:{path}", path.parent / "made.safetensors")


def as_codec_of_10b(path: Path) -> None:
    require_codec(path, ten_b().audio.codec)


def raw(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def tensors(state: dict[str, torch.Tensor]) -> Callable[[Path], None]:
    return lambda path: save_file(state, path)


def shortened(keep: Callable[[bytes], int]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        content = ours(path).read_bytes()
        path.write_bytes(content[: keep(content)])

    return write


def changed(change: Callable[[dict], object], metadata: bool = True) -> Callable[[Path], None]:
    """A tiny UniTalking file whose tensors were changed."""

    def write(path: Path) -> None:
        state = dict(tiny_model().state_dict())
        change(state)
        save_file(state, path, metadata=tiny_config().to_metadata() if metadata else None)

    return write


def wan(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        state = weights(small_wan())
        change(state)
        save_file(state, path)

    return write


def with_nan(key: str) -> Callable[[dict], None]:
    return lambda state: state[key].view(-1)[:1].fill_(float("nan")) and None


def reheaded(header: dict) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))

    return write


def one_shard_of_three(path: Path) -> None:
    folder = write_shards(path.parent / "shards", weights(small_wan()))
    (folder / f"{STEM}-00002-of-00003.safetensors").unlink()
    path.symlink_to(folder)


def future_config(path: Path) -> None:
    metadata = {"config": tiny_config().to_metadata()["config"].replace('"name"', '"wings": 1, "name"')}
    save_file(dict(tiny_model().state_dict()), path, metadata=metadata)


ONE = {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
TABLE: dict[str, tuple[Callable[[Path], None], Callable[[Path], None], str, str]] = {
    # what is given: how it is written, what reads it, what is said of it, what to do
    "absent": (lambda path: None, into_model, "no such file", "f.safetensors"),
    "empty": (raw(b""), into_model, "empty", GET_AGAIN),
    "cut off in the header": (shortened(lambda content: 300), into_model, "cut off inside its header", GET_AGAIN),
    "cut off in the weights": (shortened(lambda content: len(content) - 7), into_model, "cut off", GET_AGAIN),
    "too long": (lambda path: path.write_bytes(ours(path).read_bytes() + b"more") and None, into_model, "4 bytes more", GET_AGAIN),
    "overlong entry": (reheaded({"x": {**ONE["x"], "shape": [3]}}), into_model, "entry of x makes no sense", GET_AGAIN),
    "no JSON": (raw((10).to_bytes(8, "little") + b"{not json}"), into_model, "header cannot be read", GET_AGAIN),
    "pickle": (raw(pickle.dumps({"x": 1})), into_model, "pickle", ".safetensors release"),
    "zipped pickle": (lambda path: torch.save({"x": torch.ones(1)}, path), into_assembly, "can run code", ".safetensors release"),
    "GGUF": (raw(b"GGUF" + bytes(100)), into_model, "GGUF", ".safetensors release"),
    "web page": (raw(b"\n<!DOCTYPE html><html>" + bytes(50)), into_model, "web page", "login"),
    "LFS pointer": (raw(b"version https://git-lfs.github.com/spec/v1\noid sha256:0"), into_model, "Git LFS", "git lfs pull"),
    "noise": (raw(bytes(range(1, 200))), into_model, "not a safetensors file", ".safetensors release"),
    "Wan for a model": (wan(lambda state: None), into_model, "this is a Wan2.2-TI2V transformer", "unitalking assemble"),
    "LoRA for a model": (tensors({"a.lora_A.weight": torch.ones(2, 2)}), into_model, "this is a LoRA", "unitalking assemble"),
    "our model for Wan": (lambda path: ours(path) and None, into_assembly, "this is a UniTalking checkpoint", "Comfy-Org"),
    "VAE for Wan": (tensors({"conv2.weight": torch.ones(48, 48, 1, 1, 1)}), into_assembly, "this is Wan2.2's video VAE", "Comfy-Org"),
    "UMT5 for Wan": (
        lambda path: write_sparse(path, {"encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight": (32, 64)}) and None,
        into_assembly,
        "this is a UMT5 text encoder",
        "Comfy-Org",
    ),
    "Wan for Ovi": (wan(lambda state: None), from_ovi, "an Ovi model is expected", "chetwinlow1/Ovi"),
    "missing shard": (one_shard_of_three, into_assembly, f"{STEM}-00002-of-00003.safetensors", GET_AGAIN),
    "missing keys": (
        changed(lambda state: state.pop("audio.head.head.bias")),
        into_model,
        "1 missing: audio.head.head.bias",
        "fetch it again",
    ),
    "unexpected keys": (changed(lambda state: state.update(wings=torch.ones(1))), into_model, "1 unexpected: wings", "fetch it again"),
    "missing keys of Wan": (
        wan(lambda state: state.pop("blocks.1.ffn.2.bias")),
        into_assembly,
        "1 missing: blocks.1.ffn.2.bias",
        "published file",
    ),
    "unexpected keys of Wan": (
        wan(lambda state: state.update({"blocks.0.wings.weight": torch.ones(1)})),
        into_assembly,
        "1 unexpected: blocks.0.wings.weight",
        "published file",
    ),
    "misshapen keys of Wan": (
        wan(lambda state: state.update({"blocks.1.ffn.2.bias": torch.ones(3)})),
        into_assembly,
        "1 of another shape: blocks.1.ffn.2.bias",
        "published file",
    ),
    "NaN in a norm": (changed(with_nan("blocks.0.self_attn.norm_q.weight")), into_model, "norm_q.weight holds NaN", "use another"),
    "NaN in Wan": (wan(with_nan("blocks.0.ffn.0.weight")), into_assembly, "blocks.0.ffn.0.weight holds NaN", "use another"),
    "configuration lost": (
        changed(lambda state: None, metadata=False),
        into_model,
        "configuration was lost",
        "use the file it was made from",
    ),
    "configuration of a later version": (future_config, into_model, "unknown entries wings", "newer version"),
    "the other audio codec": (
        lambda path: write_sparse(path, {"audio_codec.vae.data_mean": (1, 80, 1)}) and None,
        as_codec_of_10b,
        "this is MMAudio's audio codec for 16 kHz",
        "v1-44.pth",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    write, read, problem, remedy = TABLE[case]
    path = tmp_path / "f.safetensors"
    write(path)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    message = str(caught.value)
    assert problem in message
    assert remedy in message
    assert "f.safetensors" in message or STEM in message


def test_packed_quantisation_is_refused(tmp_path: Path) -> None:
    """Formats other than scaled fp8 are named, and where they may be read."""
    state = weights(small_wan())
    state["blocks.0.ffn.0.weight"] = torch.zeros(512, 128, dtype=torch.uint8)
    state["blocks.0.ffn.0.weight_scale"] = torch.ones(())
    layers = {"blocks.0.ffn.0": {"format": "nvfp4"}}
    save_file(state, tmp_path / "wan.safetensors", metadata={"_quantization_metadata": json.dumps({"layers": layers})})
    with pytest.raises(CheckpointError, match=r"wan.safetensors: blocks.0.ffn.0 is quantised as nvfp4.* use a bf16"):
        assemble(tmp_path / "wan.safetensors", "random", tmp_path / "made.safetensors")
    assert not (tmp_path / "made.safetensors").exists()


def test_no_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(weights(small_wan()), tmp_path / "wan.safetensors")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(CheckpointError, match=r"made.safetensors needs 0.0 GB and .* has 0.0 GB left; make room"):
        assemble(tmp_path / "wan.safetensors", "random", tmp_path / "made.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["wan.safetensors"]


def test_files_written_here_are_safetensors(tmp_path: Path) -> None:
    """The container against the safetensors package: sizes that are not multiples of their neighbours', an empty and a single value."""
    state = {
        "a": torch.randn(3),
        "b": torch.arange(5, dtype=torch.uint8),
        "c": torch.randn(2, 3).half(),
        "d": torch.ones(()),
        "e": torch.ones(0, 4),
    }
    save(tmp_path / "f.safetensors", tiny_config(), {"audio_codec": state})
    found = load_file(tmp_path / "f.safetensors")
    assert found.keys() == {f"audio_codec.{key}" for key in state}
    for key, value in state.items():
        assert torch.equal(found[f"audio_codec.{key}"], value)
