"""Going on with the video decoder alone, on latents somewhat noisy, as a model's are. What was encoded before stays valid."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..codecs import NanoVideoCodec
from ..codecs.video import place_features
from ..config import VideoConfig
from .codecs import Clips, Log, noisy, optimise, picture_loss, windows
from .config import CodecConfig

WHOLE = 4
"""One in so many pictures is looked at as a whole."""


def polish_video_decoder(
    codec: NanoVideoCodec,
    config: VideoConfig,
    clips: Clips,
    training: CodecConfig,
    seed: int,
    log: Log,
    device: torch.device | None = None,
) -> None:
    """Train the decoder in place. Of every picture the quarter around the mouth is decoded, because what speaks is small and fast; of one
    in `WHOLE` the rest as well."""
    generator = torch.Generator().manual_seed(seed + 1)
    device = device or torch.device("cpu")
    codec.to(device)
    clips = Clips(clips.frames.to(device), clips.mouths.to(device))
    drawn = windows(clips, generator, 1 + 3 * codec.q, training.video_batch)
    scale = torch.tensor(config.std, device=device).view(1, -1, 1, 1, 1)
    for module in (codec.project, codec.look):
        module.requires_grad_(False)

    def loss() -> Tensor:
        frames, mouths = next(drawn)
        with torch.no_grad():
            latent = codec.encode(frames)
        latent = noisy(latent, scale, generator)
        weights, few = 1 + training.mouth * mouths, -(-len(frames) // WHOLE)
        whole = picture_loss(codec, frames[-few:], weights[-few:], latent[-few:])
        return whole + picture_loss(codec, *around(mouths, codec.p, frames, weights, latent))

    optimise(codec, loss, training.polish_steps, training.lr, "video decoder", log)
    codec.cpu()


def grown(codec: NanoVideoCodec, config: VideoConfig, past_blocks: int) -> tuple[NanoVideoCodec, VideoConfig]:
    """The codec with at least so many blocks between its frames; those that it lacks do nothing yet."""
    blocks = max(past_blocks, len(codec.past))
    config = dataclasses.replace(config, options={**config.options, "past_blocks": blocks})
    larger = NanoVideoCodec(config)
    larger.load_state_dict(larger.state_dict() | codec.state_dict())
    return larger, config


def around(mouths: Tensor, cell: int, frames: Tensor, weights: Tensor, latent: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The quarter around each mouth of frames (B, C, F, H, W), weights (B, H, W) and a latent, with the features of its places.

    A latent's cell has so many pixels. `mouths` (B, H, W) are 1 there; the quarter is the picture's middle where there is none.
    """
    height, width = latent.shape[-2:]
    places = place_features(latent)[0]
    parts = []
    for row, mouth in enumerate(mouths.cpu()):
        corner = []
        for axis, cells in ((0, height), (1, width)):
            along = mouth.sum(1 - axis)
            middle = float((along * torch.arange(len(along))).sum() / along.sum()) / cell if along.sum() > 0 else cells / 2
            corner.append(min(max(round(middle - cells / 4), 0), cells - cells // 2))
        y, x = (slice(at, at + cells // 2) for at, cells in zip(corner, (height, width), strict=True))
        fine_y, fine_x = (slice(cell * s.start, cell * s.stop) for s in (y, x))
        parts.append((frames[row, ..., fine_y, fine_x], weights[row, fine_y, fine_x], latent[row, ..., y, x], places[:, y, x]))
    seen, weighed, coded, where = (torch.stack(part) for part in zip(*parts, strict=True))
    return seen, weighed, coded, where
