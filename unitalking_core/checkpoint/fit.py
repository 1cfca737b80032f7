"""Giving a module exactly the weights it wants."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .container import CheckpointError
from .quantization import READABLE, SCALE, dequantized, is_extra, require_readable

_FORMATS = {dtype: name for name, dtype in READABLE.items()}


def check_fit(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], what: str) -> None:
    """Raises CheckpointError unless `state` has exactly the keys and shapes of `wanted` (a state dict, on the meta device or not)."""
    missing, unexpected = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    misshapen = [
        f"{k} is {tuple(state[k].shape)}, expected {tuple(wanted[k].shape)}"
        for k in wanted
        if k in state and state[k].shape != wanted[k].shape
    ]
    problems = [
        f"{len(names)} {label}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
        for label, names in (("missing", missing), ("unexpected", unexpected), ("of the wrong shape", misshapen))
        if names
    ]
    if problems:
        raise CheckpointError(
            f"the weights do not fit the {what}: {'; '.join(problems)}. The file is incomplete or of another version; fetch it again"
        )


def without_scales(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights alone, of a state whose quantised layers have scales beside their weights."""
    return {key: tensor for key, tensor in state.items() if not is_extra(key)}


def load_into(module: nn.Module, state: Mapping[str, Tensor], what: str, dtype: torch.dtype | None = None) -> None:
    """Give a module (on the meta device or not) exactly these tensors. Raises CheckpointError as `check_fit`.

    With a `dtype` they are copied, so that the file may be replaced while they are in use; without one they stay memory-mapped. Scaled fp8
    weights are multiplied out, into bfloat16 where no `dtype` is told.
    """
    state = multiplied_out(state, what, dtype or torch.bfloat16)
    check_fit(module.state_dict(), state, what)
    if dtype is not None:
        state = {k: v.to(dtype if v.is_floating_point() else v.dtype, copy=True) for k, v in state.items()}
    module.load_state_dict(state, strict=True, assign=True)


def multiplied_out(state: Mapping[str, Tensor], what: str, dtype: torch.dtype) -> Mapping[str, Tensor]:
    """A state whose scaled fp8 weights are plain ones of this dtype, and which has no scales. Raises CheckpointError for other formats."""
    plain = dict(state)
    for key, scale in state.items():
        layer = key.removesuffix(SCALE)
        weight = state.get(f"{layer}.weight")
        if layer != key and weight is not None:
            require_readable(f"{what}: {layer}", {"format": _FORMATS.get(weight.dtype, weight.dtype)})
            plain[f"{layer}.weight"] = dequantized(weight, scale).to(dtype)
            del plain[key]
            plain.pop(f"{layer}.input_scale", None)  # of activations: for a host that multiplies in fp8
    return plain
