"""Where sound and picture look at each other: what the joint attention gives from one stream to the other, kept while a model runs.

An `AttentionWatch` stands beside the injected `attend` (or a host's own override of it), so that the transformer stays as it is.
Notation: `La` audio tokens, `(T, h, w)` the video tokens' grid, `Lv` their number. Keys come in the order [video; audio].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .timeline import Timeline
from .transformer.operations import Attend
from .transformer.operations import attend as plain_attend

ROWS = 1024
"""Queries whose scores are held at a time."""
BRIGHTEST = 0.995
"""The share of a map's values that lie below its brightest colour: a single peak does not darken all the rest."""
HEAT = 0.7
"""How much of a pixel is the map where it is brightest."""


@dataclass(frozen=True)
class CrossAttention:
    """Means over blocks, heads and rows of the batch; None for a direction that the task forbids.

    `audio_to_video` (La, T, h, w): a token's attention to every place, at most 1 in all; the rest goes to sound. `video_to_audio`
    (T, h, w, La) likewise.
    """

    audio_to_video: Tensor | None
    video_to_audio: Tensor | None

    def seen(self, timeline: Timeline) -> Tensor | None:
        """(T, h, w): what the sound of each moment sees in the picture of that moment."""
        maps = self.audio_to_video
        if maps is None:
            return None
        moments = _moments(timeline, maps.shape[0], maps.shape[1])
        return torch.stack([maps[tokens, t].mean(0) for t, tokens in enumerate(moments)])

    def heard(self, timeline: Timeline) -> Tensor | None:
        """(T, h, w): how much every place of the picture hears of the sound of its moment."""
        maps = self.video_to_audio
        if maps is None:
            return None
        moments = _moments(timeline, maps.shape[-1], maps.shape[0])
        return torch.stack([maps[t][..., tokens].sum(-1) for t, tokens in enumerate(moments)])

    def timing(self) -> Tensor | None:
        """(La, T): when the picture is that each audio token sees, rows summing to 1. A bright diagonal means "now"."""
        if self.audio_to_video is None:
            return None
        rows = self.audio_to_video.flatten(2).sum(-1)
        return rows / rows.sum(1, keepdim=True).clamp(min=1e-12)


def nearest_latents(timeline: Timeline, tokens: int, latents: int) -> list[int]:
    """The video latent, of so many, that is nearest in time to each of so many audio tokens."""
    return [min(round(p), latents - 1) for p in timeline.audio_positions(tokens)]


def _moments(timeline: Timeline, tokens: int, latents: int) -> list[list[int]]:
    """The audio tokens of every video latent: those nearest to it in time, or the nearest one where no other latent's are."""
    positions, nearest = timeline.audio_positions(tokens), nearest_latents(timeline, tokens, latents)
    own = [[j for j, k in enumerate(nearest) if k == t] for t in range(latents)]
    return [found or [min(range(tokens), key=lambda j: abs(positions[j] - t))] for t, found in enumerate(own)]


class AttentionWatch:
    """Adds up what it is shown of joint attentions; calls of other kinds (text, voice, a stream alone) are passed over.

    `grid`: (T, h, w) of the video tokens. `block`: one block of `blocks` to watch, counted from 0, or None for the mean of all.
    """

    def __init__(self, grid: tuple[int, int, int], audio_tokens: int, blocks: int, block: int | None = None) -> None:
        """Raises ValueError for a block that the model does not have."""
        if block is not None and not 0 <= block < blocks:
            raise ValueError(f"this model has the blocks 0 to {blocks - 1}, there is no block {block}")
        self.grid, self.audio_tokens = grid, audio_tokens
        self._blocks, self._block, self._calls = blocks, block, 0
        self._seen: list[Tensor] = []
        self._heard: list[Tensor] = []
        self._counts = [0, 0]

    def watching(self, attend: Attend = plain_attend) -> Attend:
        """The same attention, watched."""

        def watched(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
            self.watch(q, k, heads)
            return attend(q, k, v, heads)

        return watched

    def watch(self, q: Tensor, k: Tensor, heads: int) -> None:
        """q (B, Lq, D), k (B, Lk, D) of one call."""
        t, h, w = self.grid
        video, audio = t * h * w, self.audio_tokens
        if k.shape[1] != video + audio or q.shape[1] not in (video + audio, audio, video):
            return
        own = self._block is None or self._calls % self._blocks == self._block
        self._calls += 1
        if not own:
            return
        if q.shape[1] != video:
            self._add(0, self._seen, _attention(q[:, -audio:], k, heads)[:, :video])
        if q.shape[1] != audio:
            self._add(1, self._heard, _attention(q[:, :video], k, heads)[:, video:])

    def _add(self, which: int, total: list[Tensor], found: Tensor) -> None:
        self._counts[which] += 1
        total[:] = [total[0] + found] if total else [found]

    def result(self) -> CrossAttention:
        """Raises ValueError when no joint attention was seen."""
        if not any(self._counts):
            raise ValueError("no attention between picture and sound was seen: the clip needs both streams")
        seen, heard = (x[0] / n if n else None for x, n in zip((self._seen, self._heard), self._counts, strict=True))
        return CrossAttention(
            None if seen is None else seen.unflatten(1, self.grid), None if heard is None else heard.unflatten(0, self.grid)
        )


def _attention(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """Softmax of the scores, (Lq, Lk) on the CPU, mean over batch and heads."""
    total = torch.zeros(q.shape[1], k.shape[1])
    scale = (q.shape[-1] // heads) ** -0.5
    for queries, keys in zip(q, k, strict=True):
        for ours, theirs in zip(queries.chunk(heads, -1), keys.chunk(heads, -1), strict=True):
            done = 0
            for rows in ours.split(ROWS):
                scores = (rows.float() @ theirs.float().T) * scale
                total[done : done + len(rows)] += scores.softmax(-1).cpu()
                done += len(rows)
    return total / (len(q) * heads)


def box_coverage(box: Sequence[float], height: int, width: int) -> Tensor:
    """(height, width): the share of every cell that lies in a box (left, top, right, bottom) of a picture whose sides are 1 long."""
    left, top, right, bottom = box

    def along(cells: int, first: float, last: float) -> Tensor:
        edges = torch.arange(cells + 1, dtype=torch.float64) / cells
        return (edges[1:].clamp(max=last) - edges[:-1].clamp(min=first)).clamp(min=0) * cells

    return (along(height, top, bottom)[:, None] * along(width, left, right)).float()


def mask_coverage(mask: Tensor, height: int, width: int) -> Tensor:
    """The same for what a mask (H, W) of the picture marks."""
    return F.adaptive_avg_pool2d((mask > 0.5).float()[None, None], (height, width))[0, 0]


def inside(maps: Tensor, coverage: Tensor) -> tuple[float, float]:
    """Of maps (T, h, w): the share of their mass within `coverage` (h, w), and that place's share of the picture.

    Within a token's cell its mass counts as spread evenly, so that a place smaller than a cell cannot get all of it.
    """
    return float((maps * coverage).sum() / maps.sum().clamp(min=1e-12)), float(coverage.mean())


def overlay(frames: Tensor, maps: Tensor, timeline: Timeline) -> Tensor:
    """Frames (F, H, W, 3) in [0, 1] in grey, under maps (T, h, w) in colour, dark red to white on one scale for the whole clip."""
    top = maps.flatten().quantile(BRIGHTEST) if maps.numel() < 2**24 else maps.max()
    planes = F.interpolate((maps / top.clamp(min=1e-12)).clamp(0, 1)[:, None], frames.shape[1:3], mode="bilinear", align_corners=False)
    out = []
    for i, frame in enumerate(frames):
        heat = planes[min(timeline.latent_of_frame(i), len(maps) - 1), 0, :, :, None]
        grey = frame[..., :3].mean(-1, keepdim=True)
        out.append(grey * (1 - HEAT * heat) + HEAT * heat * _colours(heat[..., 0]))
    return torch.stack(out)


def chart(timing: Tensor, longest: int = 768) -> Tensor:
    """A table (rows, columns) as a picture (H, W, 3): rows across, columns upwards, time running right and up."""
    table = timing.T.flip(0) / timing.max().clamp(min=1e-12)
    scale = max(1, longest // max(table.shape))
    return _colours(table.repeat_interleave(scale, 0).repeat_interleave(scale, 1))


def _colours(x: Tensor) -> Tensor:
    """[0, 1] (...) -> (..., 3): black, red, yellow, white."""
    return torch.stack([3 * x, 3 * x - 1, 3 * x - 2], -1).clamp(0, 1)
