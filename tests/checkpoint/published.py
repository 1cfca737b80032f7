"""Published files of full shape without their content, and small ones in the same layouts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from reference import GOLDEN, filled
from safetensors.torch import save_file
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1}
STEM = "diffusion_pytorch_model"

DIFFUSERS_NAMES = {
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.head": "proj_out",
    "head.modulation": "scale_shift_table",
    "modulation": "scale_shift_table",
    "norm3": "norm2",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "self_attn": "attn1",
    "cross_attn": "attn2",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "o": "to_out.0",
}
"""Wan's module names -> diffusers' (its WanTransformer3DModel)."""


def manifest(name: str) -> Shapes:
    """Names and shapes of a published transformer: "wan2.2_ti2v_5b", the same with ".diffusers", or "ovi_fusion_11b"."""
    shapes: Shapes = {}
    for key, (count, shape) in json.loads((GOLDEN / "transformers.json").read_text())[name].items():
        keys = [key.replace("*", str(n)) for n in range(count)] if "*" in key else [key]
        shapes |= dict.fromkeys(keys, tuple(shape))
    return shapes


def small_wan(dim: int = 256, layers: int = 2, ffn: int = 512, text: int = 64) -> Shapes:
    """A Wan2.2 transformer with fewer and narrower blocks. As it comes, the one of `golden/wan_dit_tiny`."""
    sizes = {3072: dim, 14336: ffn, 4096: text, 18432: 6 * dim}
    return {
        key: tuple(sizes.get(n, n) for n in shape)
        for key, shape in manifest("wan2.2_ti2v_5b").items()
        if (block := re.match(r"blocks\.(\d+)\.", key)) is None or int(block[1]) < layers
    }


def weights(shapes: Shapes) -> dict[str, Tensor]:
    """The reference's weights (the fill rule) under Wan's own names."""
    return {key: filled(key, shape) for key, shape in shapes.items()}


def in_diffusers_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    def renamed(key: str) -> str:
        found = re.match(r"(blocks\.\d+\.)?(.*?)(\.weight|\.bias)?$", key)
        assert found is not None
        block, module, end = found[1] or "", found[2], found[3] or ""
        if module not in DIFFUSERS_NAMES and "." in module:
            module = ".".join(DIFFUSERS_NAMES.get(part, part) for part in module.split("."))
        return block + DIFFUSERS_NAMES.get(module, module) + end

    return {renamed(key): tensor for key, tensor in tensors.items()}


def write_shards(folder: Path, tensors: Mapping[str, Tensor], count: int = 3, index: bool = True) -> Path:
    """Shards as the hub has them, with their index; returns the folder."""
    folder.mkdir(parents=True)
    home = {}
    for n in range(count):
        name = f"{STEM}-{n + 1:05}-of-{count:05}.safetensors"
        part = {key: tensor for i, (key, tensor) in enumerate(sorted(tensors.items())) if i % count == n}
        save_file(part, folder / name)
        home |= dict.fromkeys(part, name)
    if index:
        (folder / f"{STEM}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": home}))
    return folder


def write_sparse(path: Path, shapes: Shapes, dtype: str | Mapping[str, str] = "BF16", metadata: Mapping[str, str] | None = None) -> Path:
    """A file of these shapes, all zeros, that takes no room on the disk; `dtype` of all or of each."""
    header: dict = {"__metadata__": dict(metadata or {})}
    offset = 0
    for key, shape in shapes.items():
        kind = dtype if isinstance(dtype, str) else dtype[key]
        size = BYTES[kind]
        for n in shape:
            size *= n
        header[key] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)
    return path


def write_sparse_shards(folder: Path, shapes: Shapes, count: int = 3, dtype: str = "F32") -> Path:
    """The same in shards without an index; returns the first."""
    folder.mkdir(parents=True)
    for n in range(count):
        part = {key: shape for i, (key, shape) in enumerate(shapes.items()) if i % count == n}
        write_sparse(folder / f"{STEM}-{n + 1:05}-of-{count:05}.safetensors", part, dtype)
    return folder / f"{STEM}-00001-of-{count:05}.safetensors"
