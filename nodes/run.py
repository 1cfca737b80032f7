"""What belongs to one sampling run and dies with it: the shapes inside the packed latent, and conditions prepared once.

The host packs the streams of a joint latent into one (B, 1, N) tensor. Some of its calls see only the pack, so the shapes travel in a
context variable set around the whole run. A model attribute would miss the second model of a two-model guider.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import comfy.utils
import torch
from torch import Tensor

from ..unitalking_core.prepared import PreparedConditions


@dataclass
class Run:
    """`shapes`: one per stream, batch included. `prepared`: text and voice made ready, by rows of the batch."""

    shapes: list[tuple[int, ...]]
    prepared: PreparedConditions = field(default_factory=PreparedConditions)

    def split(self, packed: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Packed (or a single stream's) latent -> video (B, C, T, h, w) and audio (B, C, La); None for an absent stream."""
        return by_kind(comfy.utils.unpack_latents(packed, self.shapes))

    def join(self, video: Tensor | None, audio: Tensor | None) -> Tensor:
        """The inverse of `split`."""
        present = [x for x in (video, audio) if x is not None]
        return present[0] if len(present) == 1 else comfy.utils.pack_latents(present)[0]


RUN: ContextVar[Run | None] = ContextVar("unitalking_run", default=None)


def track_run(
    executor: Callable, noise: Tensor, latent: Tensor, sampler: Any, sigmas: Tensor, mask: Tensor | None = None, *args: Any, **kwargs: Any
) -> Tensor:
    """OUTER_SAMPLE wrapper: a `Run` lives exactly as long as the sampling call inside.

    What the mask says is given comes back bit for bit, also from a run that stops half-way and leaves noise everywhere else.
    """
    shapes = kwargs.get("latent_shapes")
    token = RUN.set(Run([tuple(s) for s in shapes]) if shapes else None)
    try:
        out = executor(noise, latent, sampler, sigmas, mask, *args, **kwargs)
    finally:
        RUN.reset(token)
    return out if mask is None else torch.where(mask.to(out.device) == 0, latent.to(out), out)


def by_kind(streams: list[Tensor]) -> tuple[Tensor | None, Tensor | None]:
    """One or two unpacked streams -> (video, audio), told apart by their dimensions. Raises ValueError for anything else."""
    if len(streams) == 2 and streams[0].ndim == 5 and streams[1].ndim == 3:
        return streams[0], streams[1]
    if len(streams) == 1 and streams[0].ndim == 5:
        return streams[0], None
    if len(streams) == 1 and streams[0].ndim == 3:
        return None, streams[0]
    shapes = ", ".join(str(tuple(s.shape)) for s in streams)
    raise ValueError(
        f"this latent is not one of UniTalking's ({shapes}): expected a video (batch, channels, time, height, width), its audio "
        "(batch, channels, tokens), or both. Make it with UniTalking Empty Clip or Encode Portrait."
    )


def stream_sizes(shapes: list[tuple[int, ...]], patch: tuple[int, int, int]) -> tuple[int, int]:
    """Tokens of video and of audio in one batch row."""
    video = next((s for s in shapes if len(s) == 5), None)
    audio = next((s for s in shapes if len(s) == 3), None)
    video_tokens = math.prod(math.ceil(n / p) for n, p in zip(video[2:], patch, strict=True)) if video else 0
    return video_tokens, audio[-1] if audio else 0
