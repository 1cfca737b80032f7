"""What the host may own: the layers and the attention call. Plain torch here; ComfyUI's own in `nodes/`."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attend(Protocol):
    """Scaled dot-product attention: q (B, Lq, D), k and v (B, Lk, D), D = heads * head width -> (B, Lq, D)."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor: ...


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """The default `Attend`: torch's scaled_dot_product_attention."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Modulation(nn.Module):
    """Learned offsets added to the time embedding: e (B, G, n, D) -> e + weight, weight (1, n, D).

    A leaf module, not a bare parameter, so that a host's offloading and LoRA reach it.
    """

    def __init__(self, n: int, dim: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, n, dim, device=device, dtype=dtype))
        if self.weight.device.type != "meta":
            nn.init.normal_(self.weight, std=dim**-0.5)

    def forward(self, e: Tensor) -> Tensor:
        return e + self.weight.to(e.dtype)


class RMSNorm(nn.RMSNorm):
    """Its weight follows the input's type: where the two differ, as under autocast, torch leaves its fused kernel."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class Operations:
    """The layer namespace; a host passes its own with the same names and signatures."""

    Linear = nn.Linear
    Conv1d = nn.Conv1d
    Conv3d = nn.Conv3d
    ConvTranspose1d = nn.ConvTranspose1d
    LayerNorm = nn.LayerNorm
    RMSNorm = RMSNorm
    Embedding = nn.Embedding
    Modulation = Modulation
