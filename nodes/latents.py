"""The LATENT of a clip: both streams nested, a mask that says what is given, and what the streams alone do not tell."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import torch
from comfy.nested_tensor import NestedTensor
from torch import Tensor

from ..unitalking_core.config import ModelConfig
from ..unitalking_core.tasks import TASKS
from ..unitalking_core.timeline import Clip
from .run import by_kind

INFO = "unitalking"
"""Extra key of the LATENT: {"fps", "frames"}. Core nodes that do not know it hand it on."""


def model_config(model: Any) -> ModelConfig:
    """The configuration of a MODEL. Raises ValueError when it is not one of UniTalking's."""
    config = getattr(model.model, "unitalking", None)
    if config is None:
        raise ValueError(
            f"the model connected here is {type(model.model).__name__}, not a UniTalking model; connect the MODEL of Load UniTalking Model"
        )
    return config


def clip_latent(config: ModelConfig, clip: Clip, width: int, height: int, first_frame: Tensor | None = None) -> dict[str, Any]:
    """An empty clip of `width` x `height` pixels; `first_frame` (1, C, 1, h, w), as the VAE made it, becomes its given first latent."""
    device = comfy.model_management.intermediate_device()
    stride = config.video.spatial_stride
    video = torch.zeros(1, config.video.channels, clip.video_latents, height // stride, width // stride, device=device)
    audio = torch.zeros(1, config.audio.channels, clip.audio_tokens, device=device)
    latent: dict[str, Any] = {"samples": NestedTensor((video, audio)), INFO: {"fps": config.video.fps, "frames": clip.frames}}
    if first_frame is not None:
        video[:, :, :1] = first_frame
        video_mask, audio_mask = TASKS["TI2AV"].masks(clip.video_latents, clip.audio_tokens)
        latent["noise_mask"] = NestedTensor(
            (video_mask.reshape(1, 1, -1, 1, 1).expand(1, 1, *video.shape[2:]).contiguous(), audio_mask.reshape(1, 1, -1))
        )
    return latent


def clip_streams(latent: dict[str, Any]) -> tuple[Tensor | None, Tensor | None]:
    """Video and audio of a LATENT; None for an absent one. Raises ValueError for a latent of another kind."""
    samples = latent["samples"]
    return by_kind(samples.unbind() if getattr(samples, "is_nested", False) else [samples])


def clip_of(latent: dict[str, Any], config: ModelConfig) -> Clip:
    """The length of a LATENT: from its video, else from what it was made with."""
    video, audio = clip_streams(latent)
    if video is not None:
        return config.timeline.clip_of_latents(video.shape[2])
    frames = latent.get(INFO, {}).get("frames")
    return Clip(config.timeline, frames) if frames else config.timeline.clip(audio.shape[-1] / float(config.timeline.token_rate))


def require_finite(latent: dict[str, Any], what: str) -> None:
    """Raises ValueError that names the stream when a latent holds NaN or infinity."""
    for name, stream in zip(("video", "audio"), clip_streams(latent), strict=True):
        if stream is not None and not torch.isfinite(stream).all():
            raise ValueError(
                f"{what}: the {name} latent holds NaN or infinity, nothing can be decoded from it. Load the model with weight_dtype "
                "'default', and take other attention or quantisation nodes out of the MODEL's path."
            )


def require_finite_step(x0: Any, model: Any) -> None:
    """Raises ValueError when what a step made holds NaN, with the weights that do where there are some: going on would only take time."""
    streams = x0.unbind() if getattr(x0, "is_nested", False) else [x0]
    if all(bool(torch.isfinite(stream).all()) for stream in streams):
        return
    broken = [key for key, weight in model.model.diffusion_model.state_dict().items() if not _finite(weight)]
    if broken:
        named = ", ".join(broken[:3]) + (" ..." if len(broken) > 3 else "")
        raise ValueError(
            f"{len(broken)} of the model's weights hold NaN or infinity: {named}. The training diverged, the file is damaged, or values "
            "are too large for fp8; try weight_dtype 'default', else another checkpoint"
        )
    require_finite({"samples": x0}, "the first step went wrong")


def _finite(weight: Tensor) -> bool:
    if not weight.is_floating_point():
        return True
    return bool(torch.isfinite(weight.float() if weight.dtype.itemsize == 1 else weight).all())
