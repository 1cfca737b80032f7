"""Latents in the codec's own scale and in the model's: model space = (latent - mean) / std, per channel, by the checkpoint's statistics."""

from __future__ import annotations

import torch
from torch import Tensor

from .config import AudioConfig, VideoConfig


def to_model_space(latent: Tensor, part: VideoConfig | AudioConfig) -> Tensor:
    """A codec's latent (B, C, ...) -> what the transformer sees."""
    mean, std = _statistics(latent, part)
    return (latent - mean) / std


def from_model_space(latent: Tensor, part: VideoConfig | AudioConfig) -> Tensor:
    """The inverse of `to_model_space`."""
    mean, std = _statistics(latent, part)
    return latent * std + mean


def _statistics(latent: Tensor, part: VideoConfig | AudioConfig) -> tuple[Tensor, Tensor]:
    shape = (1, -1) + (1,) * (latent.ndim - 2)
    mean = torch.tensor(part.mean or (0.0,), device=latent.device, dtype=latent.dtype)
    std = torch.tensor(part.std or (1.0,), device=latent.device, dtype=latent.dtype)
    return mean.reshape(shape), std.reshape(shape)
