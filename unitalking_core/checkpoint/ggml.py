"""Weights in GGML's blocks: a few bits a value with a scale for every block of a row (ggml-common.h and ggml-quants.c of llama.cpp).

Packed weights are bytes, (rows, bytes of a row). `d` is a block's scale in half precision; q are its small integers. All is plain torch, so
that it runs where the weights are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .container import CheckpointError


class Kind(NamedTuple):
    """A way to pack: GGML's number for it, values and bytes of a block, and blocks (n, bytes) -> values (n, values) in float32."""

    number: int
    values: int
    bytes: int
    unpack: Callable[[Tensor], Tensor]


def unpack(packed: Tensor, kind: str, shape: Sequence[int]) -> Tensor:
    """Packed rows -> the weight in float32."""
    return KINDS[kind].unpack(packed.reshape(-1, KINDS[kind].bytes)).reshape(tuple(shape))


def pack(weight: Tensor, kind: str) -> Tensor:
    """Weight (rows, columns) -> packed rows, each block with the scale that its largest value needs. Raises CheckpointError.

    Columns must be whole blocks; `kind` is one of PACKABLE.
    """
    if kind not in PACKABLE:
        raise CheckpointError(f"weights cannot be packed as {kind}, only as {', '.join(PACKABLE)}")
    if weight.shape[-1] % KINDS[kind].values:
        raise CheckpointError(f"rows of {weight.shape[-1]} values are not whole blocks of {KINDS[kind].values}")
    blocks = weight.float().reshape(-1, KINDS[kind].values)
    return PACKABLE[kind](blocks).reshape(weight.shape[0], -1)


def packed_shape(kind: str, shape: Sequence[int]) -> tuple[int, int]:
    """Rows and bytes of a row of a packed weight of this shape."""
    known = KINDS[kind]
    return math.prod(shape[:-1]), shape[-1] // known.values * known.bytes


def _half(block: Tensor) -> Tensor:
    """Two bytes (n, 2) -> (n, 1)."""
    return block.contiguous().view(torch.float16).float()


def _nibbles(data: Tensor) -> Tensor:
    """Bytes (..., m) -> their low halves, then their high ones (..., 2, m)."""
    return torch.stack((data & 15, data >> 4), dim=-2)


def _bits(data: Tensor, width: int) -> Tensor:
    """Bytes (..., m) -> (..., 8 / width, m): their bits in groups of `width`, lowest first."""
    mask = (1 << width) - 1
    return torch.stack([(data >> shift) & mask for shift in range(0, 8, width)], dim=-2)


def _q4_0(b: Tensor) -> Tensor:
    """d, then values 0-15 in the low halves of 16 bytes and 16-31 in the high ones: d (q - 8)."""
    return _half(b[:, :2]) * (_nibbles(b[:, 2:]).flatten(1).float() - 8)


def _q5_0(b: Tensor) -> Tensor:
    """As Q4_0 with a fifth bit of each value in 4 bytes before: d (q - 16)."""
    fifth = _bits(b[:, 2:6], 1).transpose(1, 2).flatten(1)
    return _half(b[:, :2]) * ((_nibbles(b[:, 6:]).flatten(1) | fifth << 4).float() - 16)


def _q8_0(b: Tensor) -> Tensor:
    """d, then 32 signed bytes: d q."""
    return _half(b[:, :2]) * b[:, 2:].view(torch.int8).float()


def _sixes(b: Tensor) -> tuple[Tensor, Tensor]:
    """12 bytes (n, 12) -> scales and minima of eight parts, 6 bits each: the first four plain, of the others two bits on top of those."""
    low, middle, high = b.unflatten(1, (3, 4)).unbind(1)
    scales = torch.cat((low & 63, (high & 15) | (low >> 6 << 4)), dim=1)
    minima = torch.cat((middle & 63, (high >> 4) | (middle >> 6 << 4)), dim=1)
    return scales.float(), minima.float()


def _q4_k(b: Tensor) -> Tensor:
    """d, the minima's d, scales and minima of eight parts of 32 values; every 32 bytes hold two parts: d s q - dmin m."""
    scales, minima = _sixes(b[:, 4:16])
    q = _nibbles(b[:, 16:].unflatten(1, (4, 32))).flatten(1, 2).float()
    return _in_parts(b, scales, minima, q)


def _q5_k(b: Tensor) -> Tensor:
    """As Q4_K with a fifth bit of each value: bit i of 32 bytes is part i's."""
    scales, minima = _sixes(b[:, 4:16])
    q = _nibbles(b[:, 48:].unflatten(1, (4, 32))).flatten(1, 2) | _bits(b[:, 16:48], 1) << 4
    return _in_parts(b, scales, minima, q.float())


def _in_parts(b: Tensor, scales: Tensor, minima: Tensor, q: Tensor) -> Tensor:
    """q (n, 8, 32)."""
    return ((_half(b[:, :2]) * scales)[..., None] * q - (_half(b[:, 2:4]) * minima)[..., None]).flatten(1)


def _q6_k(b: Tensor) -> Tensor:
    """Low four bits (128 bytes), high two (64), sixteen signed scales, d: d s (q - 32). Both halves of 128 values are alike."""
    low = _nibbles(b[:, :128].unflatten(1, (2, 64))).flatten(2).unflatten(2, (4, 32))
    q = (low | _bits(b[:, 128:192].unflatten(1, (2, 32)), 2) << 4).float() - 32
    scales = _half(b[:, 208:210]) * b[:, 192:208].view(torch.int8).float()
    return (scales[..., None] * q.flatten(1).unflatten(1, (16, 16))).flatten(1)


KINDS = {
    "q4_0": Kind(2, 32, 18, _q4_0),
    "q5_0": Kind(6, 32, 22, _q5_0),
    "q8_0": Kind(8, 32, 34, _q8_0),
    "q4_k": Kind(12, 256, 144, _q4_k),
    "q5_k": Kind(13, 256, 176, _q5_k),
    "q6_k": Kind(14, 256, 210, _q6_k),
}


def _scaled(blocks: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Blocks -> d as two bytes, and q = value / d. The largest value becomes -steps, where such small integers reach farthest."""
    largest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    d = largest / -steps
    return d.half().view(torch.uint8), torch.where(d == 0, 0.0, blocks / torch.where(d == 0, 1.0, d))


def _halves(q: Tensor) -> Tensor:
    """Values (n, 32) below 16 -> bytes (n, 16)."""
    return q[:, :16] | q[:, 16:] << 4


def _to_q4_0(blocks: Tensor) -> Tensor:
    d, q = _scaled(blocks, 8)
    return torch.cat((d, _halves((q + 8).round().clamp(0, 15).to(torch.uint8))), dim=1)


def _to_q5_0(blocks: Tensor) -> Tensor:
    d, scaled = _scaled(blocks, 16)
    q = (scaled + 16).round().clamp(0, 31).to(torch.uint8)
    places = 2 ** torch.arange(8, device=q.device, dtype=torch.uint8)
    fifth = ((q >> 4).unflatten(1, (4, 8)) * places).sum(2).to(torch.uint8)
    return torch.cat((d, fifth, _halves(q & 15)), dim=1)


def _to_q8_0(blocks: Tensor) -> Tensor:
    d = blocks.abs().amax(1, keepdim=True) / 127
    q = torch.where(d == 0, 0.0, blocks / torch.where(d == 0, 1.0, d)).round().to(torch.int8)
    return torch.cat((d.half().view(torch.uint8), q.view(torch.uint8)), dim=1)


PACKABLE: dict[str, Callable[[Tensor], Tensor]] = {"q4_0": _to_q4_0, "q5_0": _to_q5_0, "q8_0": _to_q8_0}
