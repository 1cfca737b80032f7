"""From a checkpoint file to the host's MODEL, CLIP and VAE objects, under the host's own memory management."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from comfy.patcher_extension import WrappersMP

from ..unitalking_core import checkpoint as checkpoints
from ..unitalking_core.checkpoint import Checkpoint, CheckpointError
from ..unitalking_core.config import ModelConfig
from ..unitalking_core.transformer import UniTalkingTransformer
from .model import UniTalkingSupported
from .run import track_run

FOLDER = "unitalking"
BUNDLED = Path(__file__).parent.parent / "models" / "nano"
WEIGHT_DTYPES: dict[str, torch.dtype | None] = {
    "default": None,
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}


def register_folder() -> None:
    """Checkpoints live in models/unitalking; the one that ships with the pack is listed beside them."""
    for path in (Path(folder_paths.models_dir) / FOLDER, BUNDLED):
        folder_paths.add_model_folder_path(FOLDER, str(path))
    paths, _ = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, {".safetensors"})


def checkpoint_names() -> list[str]:
    return folder_paths.get_filename_list(FOLDER)


def checkpoint_path(name: str) -> str:
    """Raises CheckpointError that names the file and its folder."""
    path = folder_paths.get_full_path(FOLDER, name)
    if path is None:
        folder = Path(folder_paths.models_dir) / FOLDER
        raise CheckpointError(f"the checkpoint '{name}' is not there any more; put it into {folder} and press R to refresh the list")
    return path


def with_bundled_parts(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with text encoder and codecs; those that it lacks come from another checkpoint of the same text, video and audio.

    Core's ModelSave keeps only the transformer, so merged and fine-tuned models lack them. Raises CheckpointError when nobody has them.
    """
    missing = [part for part in checkpoints.BUNDLED if part not in checkpoint.parts]
    if not missing:
        return checkpoint
    for name in checkpoint_names():
        try:
            path = checkpoint_path(name)
            if _surroundings(checkpoints.read_config(path)) != _surroundings(checkpoint.config):
                continue
            donor = checkpoints.load(path)
        except CheckpointError:
            continue
        if all(part in donor.parts for part in missing):
            return replace(checkpoint, parts={**checkpoint.parts, **{part: donor.parts[part] for part in missing}})
    named = ", ".join(part.replace("_", " ") for part in missing)
    folder = Path(folder_paths.models_dir) / FOLDER
    raise CheckpointError(f"{checkpoint.path.name} holds no {named}; put the checkpoint it was made from into {folder}")


def _surroundings(config: ModelConfig) -> tuple:
    return config.text, config.video, config.audio


def load_model(path: str, model_options: dict[str, Any] | None = None, disable_dynamic: bool = False) -> Any:
    """The transformer of a checkpoint as a model patcher. Raises CheckpointError.

    `model_options` are the host's (dtype, load_device, offload_device, custom_operations). Mirrors the host's own loader of diffusion
    models, without its detection.
    """
    return patcher_of(checkpoints.load(path), model_options, disable_dynamic)


def patcher_of(checkpoint: Checkpoint, model_options: dict[str, Any] | None = None, disable_dynamic: bool = False) -> Any:
    """The same, of a checkpoint that was read already."""
    options = model_options or {}
    state = checkpoint.part(checkpoints.TRANSFORMER)
    with torch.device("meta"):
        wanted = UniTalkingTransformer(checkpoint.config).state_dict()
    checkpoints.check_fit(wanted, state, f"transformer of {checkpoint.path.name}")

    config = UniTalkingSupported(checkpoint.config)
    management = comfy.model_management
    load_device = options.get("load_device", management.get_torch_device())
    offload_device = options.get("offload_device", management.unet_offload_device())
    supported = config.supported_inference_dtypes
    dtype = options.get("dtype") or management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(state), supported_dtypes=supported, weight_dtype=comfy.utils.weight_dtype(state)
    )
    config.set_inference_dtype(dtype, management.unet_manual_cast(dtype, load_device, supported), device=load_device)
    config.custom_operations = options.get("custom_operations")

    model = config.get_model(state)
    # The host rebinds CoreModelPatcher at start-up, so the name is resolved now.
    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = patcher_class(model, load_device=load_device, offload_device=offload_device)
    if not management.is_device_cpu(offload_device):
        model.to(offload_device)
    model.load_model_weights(dict(state), "", assign=patcher.is_dynamic())
    patcher.cached_patcher_init = (load_model, (str(checkpoint.path), options))
    patcher.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, FOLDER, track_run)
    return patcher
