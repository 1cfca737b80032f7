"""Attention as plain matrix products, for training on a CPU.

torch's fused attention is made for long sequences; its backward pass on CPUs took twice as long as this for a few hundred tokens.
"""

from __future__ import annotations

from torch import Tensor


def attend_by_products(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """An `Attend`: q (B, Lq, D), k and v (B, Lk, D) -> (B, Lq, D). Holds all (B, heads, Lq, Lk) scores at once."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return (scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).flatten(2)
