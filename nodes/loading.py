"""From a checkpoint file to the host's MODEL, under the host's own memory management."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..unitalking_core import checkpoint as checkpoints
from ..unitalking_core.checkpoint import Checkpoint, CheckpointError
from ..unitalking_core.checkpoint import gguf as gguf_files
from ..unitalking_core.checkpoint.quantization import DESCRIPTION, FP8_ROWS, READABLE, is_description, present_spelling
from ..unitalking_core.transformer import UniTalkingTransformer
from .files import CHECKPOINTS, GGUF, PUBLISHED, checkpoint_names, checkpoint_path, named_parts
from .gguf import PackedPatcher, operations
from .lora import require_a_match
from .model import UniTalkingSupported
from .run import track_run

WEIGHT_DTYPES: dict[str, dict[str, Any]] = {
    "default": {},
    "fp8_e4m3fn": {"dtype": torch.float8_e4m3fn},
    "fp8_e5m2": {"dtype": torch.float8_e5m2},
    "fp8_e4m3fn_fast": {"dtype": torch.float8_e4m3fn, "fp8_optimizations": True},
}
"""The host's model options behind each choice, as its own loader of diffusion models has them."""


def with_bundled_parts(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the parts that only a checkpoint can hold; those it lacks come from another one of the same kind.

    Core's ModelSave keeps only the transformer, so merged and fine-tuned models lack them. What nobody has stays missing.
    """
    own = [part for part, model in named_parts(checkpoint.config).items() if model not in PUBLISHED]
    missing = [part for part in own if part not in checkpoint.parts]
    if not missing:
        return checkpoint
    for name in checkpoint_names():
        try:
            path = checkpoint_path(name)
            if not _same_surroundings(checkpoint, path):
                continue
            donor = read(path)
        except CheckpointError:
            continue
        if all(part in donor.parts for part in missing):
            return replace(checkpoint, parts={**checkpoint.parts, **{part: donor.parts[part] for part in missing}})
    return checkpoint


def _same_surroundings(checkpoint: Checkpoint, path: str) -> bool:
    ours, other = checkpoint.config, (read(path).config if path.lower().endswith(GGUF) else checkpoints.read_config(path))
    return (ours.text, ours.video, ours.audio) == (other.text, other.video, other.audio)


def read(path: str) -> Checkpoint:
    """A checkpoint in either format. Raises CheckpointError."""
    return gguf_files.load(path) if path.lower().endswith(GGUF) else checkpoints.load(path)


def load_model(path: str, model_options: dict[str, Any] | None = None, disable_dynamic: bool = False) -> Any:
    """The transformer of a checkpoint as a model patcher. Raises CheckpointError.

    `model_options` are the host's (dtype, fp8_optimizations, load_device, offload_device, custom_operations). Mirrors the host's own loader
    of diffusion models, without its detection.
    """
    return patcher_of(read(path), model_options, disable_dynamic)


def patcher_of(checkpoint: Checkpoint, model_options: dict[str, Any] | None = None, disable_dynamic: bool = False) -> Any:
    """The same, of a checkpoint that was read already."""
    options = model_options or {}
    _require_fit(checkpoint)
    management = comfy.model_management
    load_device = options.get("load_device", management.get_torch_device())
    offload_device = options.get("offload_device", management.unet_offload_device())
    config = UniTalkingSupported(checkpoint.config)
    packed = checkpoint.path.suffix.lower() == GGUF or any(how.get("format") == FP8_ROWS for how in checkpoint.quantization.values())
    state = _host_state(checkpoint, packed)
    _choose_types(config, checkpoint, state, options, load_device)
    if packed:
        config.custom_operations = operations(checkpoint.quantization, config.manual_cast_dtype)

    model = config.get_model(state)
    kind = patcher_class(packed, disable_dynamic or management.is_device_cpu(load_device))
    patcher = kind(model, load_device, offload_device)
    if not management.is_device_cpu(offload_device):
        model.to(offload_device)
    model.load_model_weights(dict(state), "", assign=patcher.is_dynamic())
    patcher.cached_patcher_init = (load_model, (str(checkpoint.path), options))
    patcher.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, CHECKPOINTS, track_run)
    return patcher


def _choose_types(config: UniTalkingSupported, checkpoint: Checkpoint, state: dict, options: dict, load_device: Any) -> None:
    """What the weights are kept as and computed in. Quantised layers know it themselves, so their file decides, not `options`."""
    management, supported = comfy.model_management, config.supported_inference_dtypes
    quantized = bool(quantized_layers(checkpoint, checkpoints.TRANSFORMER))
    config.quant_config = {"mixed_ops": True} if quantized else None
    dtype = (None if quantized else options.get("dtype")) or management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(state),
        supported_dtypes=supported,
        weight_dtype=None if quantized else comfy.utils.weight_dtype(state),
    )
    cast = management.unet_manual_cast(None if quantized else dtype, load_device, supported)
    config.set_inference_dtype(dtype, cast, device=load_device)
    config.custom_operations = options.get("custom_operations")
    config.optimizations["fp8"] = options.get("fp8_optimizations", False)


def patcher_class(packed: bool, disable_dynamic: bool) -> type:
    """The host's model patcher; one that does not take a LoRA which changes nothing."""
    if packed:
        return _watchful(PackedPatcher)
    # The host rebinds CoreModelPatcher at start-up, so the name is resolved now.
    return _watchful(comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher)


@cache
def _watchful(base: type) -> type:
    class UniTalkingPatcher(base):  # type: ignore[misc, valid-type]
        def add_patches(self, patches: dict, *args: Any, **kwargs: Any) -> list:
            require_a_match(patches, self.model)
            return super().add_patches(patches, *args, **kwargs)

    return UniTalkingPatcher


def _host_state(checkpoint: Checkpoint, packed: bool) -> dict[str, Tensor]:
    """The transformer's weights as the host loads them.

    Through its own reader, which knows how weights are streamed to a card and whether files are mapped; it cannot read packed ones.
    """
    if packed:
        return checkpoint.part(checkpoints.TRANSFORMER)
    state = described(checkpoint, checkpoints.TRANSFORMER)
    file = comfy.utils.load_torch_file(str(checkpoint.path))
    names = checkpoints.our_names(file)
    for key, tensor in file.items():
        part, name = checkpoints.split_key(present_spelling(names[key]))
        if part == checkpoints.TRANSFORMER and name != checkpoints.CONFIG_TENSOR and not is_description(key):
            state[name] = tensor
    return state


def quantized_layers(checkpoint: Checkpoint, part: str) -> dict[str, Mapping[str, Any]]:
    """How a part's layers are quantised, by their names in it."""
    named = {checkpoints.split_key(layer): how for layer, how in checkpoint.quantization.items()}
    return {layer: how for (owner, layer), how in named.items() if owner == part}


def described(checkpoint: Checkpoint, part: str) -> dict[str, Tensor]:
    """How a part's layers are quantised, as the host wants to be told: in a tensor beside the weight."""
    return {
        layer + DESCRIPTION: torch.tensor(list(json.dumps(how).encode()), dtype=torch.uint8)
        for layer, how in quantized_layers(checkpoint, part).items()
    }


def _require_fit(checkpoint: Checkpoint) -> None:
    """Raises CheckpointError unless the file has every weight of the model and no other."""
    with torch.device("meta"):
        model = UniTalkingTransformer(checkpoint.config)
    wanted, what = model.state_dict(), f"transformer of {checkpoint.path.name}"
    state = checkpoints.without_scales(checkpoint.part(checkpoints.TRANSFORMER))
    for layer, how in quantized_layers(checkpoint, checkpoints.TRANSFORMER).items():
        if f"{layer}.weight" not in wanted or not isinstance(model.get_submodule(layer), torch.nn.Linear):
            raise CheckpointError(f"the weights do not fit the {what}: {layer} is quantised, but no linear layer of this model")
        if how.get("format") not in READABLE and f"{layer}.weight" in state:  # packed: its shape is told, or the host knows it
            state[f"{layer}.weight"] = wanted[f"{layer}.weight"].new_empty(how.get("shape", wanted[f"{layer}.weight"].shape))
    checkpoints.check_fit(wanted, state, what)
