"""Which devices multiply in bfloat16 by themselves: elsewhere it is emulated, and many times slower than float32."""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "bf16", "fp32")
""""auto" is bf16 where the device knows it, else fp32."""


def knows_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and asked is not None and bool(asked())


def resolve(precision: str, device: torch.device) -> str:
    """One of PRECISIONS -> "bf16" or "fp32"."""
    if precision != "auto":
        return precision
    return "bf16" if knows_bf16(device) else "fp32"
