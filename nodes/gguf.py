"""Packed weights in the host, of GGUF files and in 8 bits with a scale for each row: they stay so in memory, as the host's quantised
tensors, and are unpacked where a layer is computed.

Linear layers come from the host's mixed-precision operations, which know how to move, offload and patch what is quantised. Two things
differ: nothing can be packed again after a LoRA has changed it, so LoRAs act while a layer is computed; and packed weights are not saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import comfy.model_patcher
import comfy.ops
import comfy.utils
import torch
from comfy.quant_ops import QuantizedLayout, QuantizedTensor, register_layout_class
from comfy_kitchen.tensor.base import BaseLayoutParams
from torch import Tensor, nn

from ..unitalking_core.checkpoint import ggml
from ..unitalking_core.checkpoint.quantization import FP8_ROWS, SCALE, dequantized

LAYOUT, ROWS_LAYOUT = "UniTalkingGGML", "UniTalkingRows"


class GGMLLayout(QuantizedLayout):
    """Rows of GGML's blocks as bytes."""

    @dataclass(frozen=True)
    class Params(BaseLayoutParams):
        """`kind` is one of `ggml.KINDS`; the scales are in the blocks, `scale` is what the host's tensors all have."""

        kind: str = ""

    @classmethod
    def quantize(cls, tensor: Tensor, **_: Any) -> tuple[Tensor, Params]:
        raise NotImplementedError("weights of a GGUF file are not packed again")

    @classmethod
    def dequantize(cls, qdata: Tensor, params: Params) -> Tensor:
        return ggml.unpack(qdata, params.kind, params.orig_shape).to(params.orig_dtype)

    @classmethod
    def get_plain_tensors(cls, qtensor: QuantizedTensor) -> tuple[Tensor, ...]:
        return (qtensor._qdata,)

    @classmethod
    def state_dict_tensors(cls, qdata: Tensor, params: Params) -> dict[str, Tensor]:
        return {"": qdata}


class RowsLayout(GGMLLayout):
    """Weights (out, in) in fp8, scales (out,): the host's own layout has one scale alone."""

    @dataclass(frozen=True)
    class Params(BaseLayoutParams):
        pass

    @classmethod
    def dequantize(cls, qdata: Tensor, params: Params) -> Tensor:
        return dequantized(qdata, params.scale).to(params.orig_dtype)


register_layout_class(LAYOUT, GGMLLayout)
register_layout_class(ROWS_LAYOUT, RowsLayout)


def operations(layers: Mapping[str, Mapping[str, Any]], dtype: torch.dtype) -> type:
    """The host's layers, computing in `dtype`; those in `layers` ({"format": ...}, of ggml's kinds with "shape") are packed."""
    host = comfy.ops.mixed_precision_ops({}, dtype, full_precision_mm=True)

    class Linear(host.Linear):
        def _load_from_state_dict(self, state: dict, prefix: str, metadata: dict, strict: bool, missing: list, *rest: list) -> None:
            how = layers.get(prefix.removesuffix("."))
            if how is None:
                super()._load_from_state_dict(state, prefix, metadata, strict, missing, *rest)
                return
            self.quant_format = how["format"]
            weight = state.pop(f"{prefix}weight")
            if how["format"] == FP8_ROWS:
                scale = state.pop(prefix.removesuffix(".") + SCALE)
                packed = QuantizedTensor(weight, ROWS_LAYOUT, RowsLayout.Params(scale, dtype, tuple(weight.shape)))
            else:
                packed = QuantizedTensor(weight, LAYOUT, GGMLLayout.Params(torch.ones(()), dtype, tuple(how["shape"]), how["format"]))
            self.weight = nn.Parameter(packed, requires_grad=False)
            nn.Module._load_from_state_dict(self, state, prefix, metadata, strict, missing, *rest)
            missing[:] = [key for key in missing if key != f"{prefix}weight"]

    return type("PackedOperations", (host,), {"Linear": Linear})


def is_packed(model: nn.Module, key: str) -> bool:
    """Whether the model's weight of this name is packed."""
    weight = comfy.utils.get_attr(model, key)
    return isinstance(weight, QuantizedTensor) and weight._layout_cls in (LAYOUT, ROWS_LAYOUT)


class PackedPatcher(comfy.model_patcher.ModelPatcher):
    """The host's patcher for a model with packed weights."""

    def patch_weight_to_device(self, key: str, device_to: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not is_packed(self.model, key):
            return super().patch_weight_to_device(key, device_to, *args, **kwargs)
        if key in self.patches:
            layer = comfy.utils.get_attr(self.model, key.rpartition(".")[0])
            layer.weight_function = [comfy.model_patcher.LowVramPatch(key, self.patches)]
        return comfy.utils.get_attr(self.model, key)

    def model_state_dict_for_saving(self, *args: Any, **kwargs: Any) -> dict:
        raise ValueError(
            "a model from a GGUF file cannot be saved, nor one in fp8 with a scale for each row: load the 16-bit .safetensors checkpoint "
            "it was made from, and save that"
        )
