"""Golden vectors and the fill rule that gives any module the weights they were computed with."""

from __future__ import annotations

import zlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / f"{name}.safetensors")


def unit_normal(key: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal draw seeded by the CRC-32 of the key, so that order does not matter."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))


def filled(key: str, shape: tuple[int, ...]) -> Tensor:
    """The weight called `key` in the reference's own spelling (mode fan)."""
    n = unit_normal(key, shape)
    last = key.rsplit(".", 1)[-1]
    if last == "modulation":
        return 0.1 * n
    if last == "bias":
        return 0.02 * n
    if len(shape) == 1:
        return 1 + 0.02 * n
    return n / (n.numel() / shape[0]) ** 0.5


def fill(module: nn.Module, rename: dict[str, str] | None = None) -> None:
    """Give every parameter its reference weight. `rename`: our key -> the reference's, where they differ."""
    rename = rename or {}
    with torch.no_grad():
        for key, parameter in module.state_dict().items():
            theirs = rename.get(key, key.removesuffix(".weight") if key.endswith("modulation.weight") else key)
            parameter.copy_(filled(theirs, tuple(parameter.shape)))
