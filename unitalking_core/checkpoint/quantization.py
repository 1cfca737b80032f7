"""Weights in 8 bits with a scale, as ComfyUI 0.30 stores and loads them (its QUANTIZATION.md, and `convert_old_quants`).

A quantised layer has `weight` in its storage dtype and `weight_scale`, a float32 scalar: the weight is their product. What is quantised,
and how, is told in one of three ways, all read here:

- the metadata entry `_quantization_metadata`: {"format_version": "1.0", "layers": {layer: {"format": "float8_e4m3fn"}}}; this is written;
- a tensor `comfy_quant` beside the weight, the bytes of {"format": ...}: what the host's saving nodes leave;
- a tensor `scaled_fp8` in the file, and `scale_weight` (`scale_input`) for `weight_scale` (`input_scale`): older files.

Beside them, files of NAVA tell nothing and have one scale for each row (FP8_ROWS), which the host's own layers do not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from .container import CheckpointError

METADATA_KEY = "_quantization_metadata"
FP8 = "float8_e4m3fn"
READABLE = {FP8: torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2}
FP8_ROWS = "float8_e4m3fn_rows"
DESCRIPTION, MARK, SCALE = ".comfy_quant", "scaled_fp8", ".weight_scale"
EXTRAS = (SCALE, ".weight_scale_2", ".input_scale", ".pre_quant_scale")
"""What a quantised layer has beside its weight and bias."""
_OLD = {".scale_weight": SCALE, ".scale_input": ".input_scale"}

Layers = Mapping[str, Mapping[str, Any]]
"""Name of a layer -> how its weight is quantised: {"format": ..., ...} as the host spells it."""


def present_spelling(name: str) -> str:
    """The name with an old file's spelling of scales replaced."""
    for old, new in _OLD.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def is_description(name: str) -> bool:
    """Whether a tensor only tells how others are quantised."""
    return name.endswith(DESCRIPTION) or name.rpartition(".")[2] == MARK


def is_extra(name: str) -> bool:
    """Whether a tensor (present spelling) is a quantised layer's scale."""
    return name.endswith(EXTRAS)


def quantized_layers(names: Collection[str], metadata: Mapping[str, str], read: Callable[[str], Tensor]) -> dict[str, dict[str, Any]]:
    """The quantised layers of a file, by their names in it. `read` is called for the few small tensors that describe them.

    Raises CheckpointError when the description cannot be read.
    """
    try:
        told = json.loads(metadata.get(METADATA_KEY, "{}")).get("layers", {})
        layers = {str(layer): dict(how) for layer, how in told.items()}
        layers |= {n.removesuffix(DESCRIPTION): json.loads(bytes(read(n).tolist())) for n in names if n.endswith(DESCRIPTION)}
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"the description of the quantised layers cannot be read ({error}); use a bf16 or fp16 release") from error
    for name in names:
        layer = present_spelling(name).removesuffix(SCALE)
        if name.endswith(".scale_weight") and layer not in layers:
            marks = [n for n in names if n.rpartition(".")[2] == MARK]
            precise = {"full_precision_matrix_mult": True} if any(read(n).numel() == 2 for n in marks) else {}
            layers[layer] = {"format": FP8, **precise}
        elif name.endswith(SCALE) and layer not in layers and read(name).numel() > 1:
            layers[layer] = {"format": FP8_ROWS}
    return layers


def require_readable(layer: str, how: Mapping[str, Any]) -> None:
    """Raises CheckpointError for a layer in a format other than scaled fp8."""
    if how.get("format") not in READABLE:
        form = how.get("format")
        raise CheckpointError(f"{layer} is quantised as {form}, which is not read here; use a bf16, fp16 or scaled fp8 release")


def dequantized(weight: Tensor, scale: Tensor) -> Tensor:
    """Weight (out, in) in fp8, scale of one value or one for each row -> weight in float32."""
    return weight.to(torch.float32) * scale.to(torch.float32).reshape(-1, *[1] * (weight.ndim - 1))


def quantized(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weight in float32 -> (weight in fp8, scale): the largest value becomes fp8's largest, 448. Zeros have the scale 1."""
    largest = torch.finfo(READABLE[FP8]).max
    peak = weight.abs().max()
    scale = peak / largest if peak > 0 else torch.ones(())
    return (weight / scale).clamp_(-largest, largest).to(READABLE[FP8]), scale.to(torch.float32)


def metadata_of(layers: Layers) -> dict[str, str]:
    """The metadata entry that tells of these layers; none where there are none."""
    return {METADATA_KEY: json.dumps({"format_version": "1.0", "layers": layers}, sort_keys=True)} if layers else {}
