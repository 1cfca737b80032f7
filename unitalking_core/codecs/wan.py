"""Wan2.2's video VAE without ComfyUI: diffusers' class behind the codecs' interface. Needs the extra `full`.

Causal: latent 0 is frame 0 alone, latent k holds frames 4k-3..4k (Wan2.2, wan/modules/vae2_2.py). Latents are the mean of the posterior;
what leads to the model's space are the statistics in the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..config import ConfigError, VideoConfig

PATCH = 2
NAMES = (
    (r"^(encoder|decoder)\.conv1\.", r"\1.conv_in."),
    (r"^conv1\.", "quant_conv."),
    (r"^conv2\.", "post_quant_conv."),
    (r"\.head\.0\.", ".norm_out."),
    (r"\.head\.2\.", ".conv_out."),
    (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"^encoder\.downsamples\.(\d)\.downsamples\.2\.", r"encoder.down_blocks.\1.downsampler."),
    (r"^encoder\.downsamples\.(\d)\.downsamples\.(\d)\.", r"encoder.down_blocks.\1.resnets.\2."),
    (r"^decoder\.upsamples\.(\d)\.upsamples\.3\.", r"decoder.up_blocks.\1.upsampler."),
    (r"^decoder\.upsamples\.(\d)\.upsamples\.(\d)\.", r"decoder.up_blocks.\1.resnets.\2."),
    (r"\.residual\.0\.", ".norm1."),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
)
"""Wan's names, which ComfyUI's files have too -> diffusers', in this order."""


class Wan22VideoCodec(nn.Module):
    """Options: `base_dim` and `decoder_base_dim`, where they are not the published 160 and 256. Raises ConfigError without diffusers."""

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        try:
            from diffusers import AutoencoderKLWan
        except ImportError as error:
            raise ConfigError(
                f"the video codec '{config.codec}' needs diffusers: pip install -e '.[full]' in this pack's folder"
            ) from error
        self.p, self.q = config.spatial_stride, config.temporal_stride
        self.vae: Any = AutoencoderKLWan(
            base_dim=config.options.get("base_dim", 160),
            decoder_base_dim=config.options.get("decoder_base_dim", 256),
            z_dim=config.channels,
            is_residual=True,
            in_channels=3 * PATCH**2,
            out_channels=3 * PATCH**2,
            patch_size=PATCH,
            scale_factor_spatial=self.p,
        )

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (B, 3, 4n + 1, H, W) in [-1, 1] -> latents (B, C, n + 1, H/16, W/16). Raises ValueError off that grid."""
        if frames.ndim != 5 or frames.shape[1] != 3:
            raise ValueError(f"frames must be shaped (B, 3, F, H, W), got {tuple(frames.shape)}")
        count, height, width = frames.shape[2:]
        if (count - 1) % self.q or height % self.p or width % self.p:
            raise ValueError(
                f"{count} frames of {width}x{height} are off the grid: {self.q} n + 1 frames, width and height multiples of {self.p}"
            )
        return self.vae.encode(frames).latent_dist.mode()

    def decode(self, latent: Tensor) -> Tensor:
        """Latents (B, C, T, h, w) -> frames (B, 3, 4(T - 1) + 1, 16h, 16w) in [-1, 1]."""
        return next(self.decode_chunks(latent, latent.shape[2]))

    def decode_chunks(self, latent: Tensor, latents_per_chunk: int) -> Iterator[Tensor]:
        """`decode` in pieces along time: the same frames, for every causal convolution keeps the last frames it saw. Raises ValueError."""
        if latents_per_chunk < 1:
            raise ValueError(f"a chunk needs at least one latent, got {latents_per_chunk}")
        x = self.vae.post_quant_conv(latent)
        seen: list[Tensor | None] = [None] * sum(isinstance(module, nn.Conv3d) for module in self.vae.decoder.modules())
        for start in range(0, x.shape[2], latents_per_chunk):
            frames = [
                self.vae.decoder(x[:, :, i : i + 1], feat_cache=seen, feat_idx=[0], first_chunk=i == 0)
                for i in range(start, min(start + latents_per_chunk, x.shape[2]))
            ]
            pixels = rearrange(torch.cat(frames, dim=2), "b (c r q) f h w -> b c f (h q) (w r)", q=PATCH, r=PATCH)
            yield pixels.clamp(-1, 1)


def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state, in Wan's names or in diffusers' -> `Wan22VideoCodec`'s."""
    return {f"vae.{_diffusers_name(key)}": value for key, value in state.items()}


def _diffusers_name(name: str) -> str:
    for theirs, ours in NAMES:
        name = re.sub(theirs, ours, name)
    return name
