"""The host's layers under the names the core asks for, and the attention call that goes through the host's own kernels."""

from __future__ import annotations

from functools import partial
from typing import Any

import comfy.ops
import torch
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor, nn

from ..unitalking_core.transformer import Attend


class Modulation(nn.Module, comfy.ops.CastWeightBiasOp):
    """The core's `Modulation` as a host op: a leaf with castable weights, so offloading, dynamic VRAM and LoRA reach it."""

    comfy_cast_weights = True

    def __init__(self, n: int, dim: int, device: Any = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, n, dim, device=device, dtype=dtype))
        self.register_parameter("bias", None)

    def forward(self, e: Tensor) -> Tensor:
        weight, bias, stream = comfy.ops.cast_bias_weight(self, e, offloadable=True)
        out = e + weight
        comfy.ops.uncast_bias_weight(self, weight, bias, stream)
        return out


def with_modulation(operations: type) -> type:
    """The host's operations namespace plus the one layer it lacks."""
    return type("UniTalkingOperations", (operations,), {"Modulation": Modulation})


def host_attention(transformer_options: dict) -> Attend:
    """The host's attention, with its overrides and patches in reach."""
    return partial(_attend, transformer_options=transformer_options)


def _attend(q: Tensor, k: Tensor, v: Tensor, heads: int, transformer_options: dict) -> Tensor:
    return optimized_attention(q, k, v, heads=heads, transformer_options=transformer_options)
