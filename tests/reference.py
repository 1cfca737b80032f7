"""Golden vectors and the fill rule that gives any module the weights they were computed with."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

GOLDEN = Path(__file__).parent / "golden"
FACTORS = {"modulation": 0.1, "bias": 0.02, "alpha": 0.25, "beta": 0.25, "learnable_gain": 0.1}


def golden(name: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / f"{name}.safetensors")


def manifest(name: str) -> dict[str, Tensor]:
    """Names and shapes of a published file, as tensors on the meta device."""
    shapes = json.loads((GOLDEN / "codecs.json").read_text())[name]
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def unit_normal(key: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal draw seeded by the CRC-32 of the key, so that order does not matter."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))


def filled(key: str, shape: tuple[int, ...], flat: bool = False) -> Tensor:
    """The weight called `key` in the reference's own spelling; mode fan, or flat."""
    n = unit_normal(key, shape)
    last = key.rsplit(".", 1)[-1]
    if last in FACTORS:
        return FACTORS[last] * n
    if last == "weight_g":
        return (1 + 0.02 * n) * (0.3 if key.startswith("resblocks.") else 0.1 if key.startswith("conv_post") else 1)
    if len(shape) == 1 or last == "gamma":
        return 1 + 0.02 * n
    return 0.02 * n if flat else n / (n.numel() / shape[0]) ** 0.5


def fill(module: nn.Module, rename: dict[str, str] | None = None) -> None:
    """Give every parameter its reference weight. `rename`: our key -> the reference's, where they differ."""
    rename = rename or {}
    with torch.no_grad():
        for key, parameter in module.state_dict().items():
            theirs = rename.get(key, key.removesuffix(".weight") if key.endswith("modulation.weight") else key)
            parameter.copy_(filled(theirs, tuple(parameter.shape)))
