"""A loss that draws the sound's attention to the mouth of its moment, so that what is heard is read from what is seen.

Guided attention, as Tachibana et al. (arXiv 1710.08969) led that of speech along the text: the flow loss alone leaves a small model free to
spread what a mouth says over the whole picture. Notation as in `attention_maps`: `La` audio tokens, (T, h, w) the video tokens' grid.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..attention_maps import nearest_latents
from ..timeline import Timeline
from ..transformer.attention import rows_by_visibility
from ..transformer.operations import Attend
from .batches import Batch

ENOUGH = 3.0
"""Times its share of the picture: the loss is zero where the mouth gets more."""


class Looking:
    """Stands beside the injected `attend` for one pass and adds up where the sound looks, mean over blocks and heads."""

    def __init__(self, batch: Batch, grid: tuple[int, ...], timeline: Timeline) -> None:
        """`batch` has a picture."""
        assert batch.mouth is not None
        self.grid, self.tokens = grid, batch.audio.shape[2]
        self.moments = torch.tensor(nearest_latents(timeline, self.tokens, grid[0]), device=batch.audio.device)
        mouth = F.adaptive_avg_pool2d(batch.mouth[:, None], (grid[1], grid[2])).flatten(1)
        makes_sound = batch.audio_mask.amax(1) > 0
        self.mouth, self.counts = mouth, (mouth.amax(1) > 0) & makes_sound
        groups = rows_by_visibility(batch.visibility)
        self.groups = [torch.tensor(rows, device=mouth.device) for seen, rows in groups.items() if seen.audio_sees_video]
        self.calls = 0
        self.found: list[Tensor] = []
        self.rows: list[Tensor] = []

    def watching(self, attend: Attend) -> Attend:
        """The same attention, watched."""

        def watched(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
            seen = math.prod(self.grid)
            if k.shape[1] == seen + self.tokens and q.shape[1] in (k.shape[1], self.tokens):
                self.rows.append(self.groups[self.calls % len(self.groups)])
                self.calls += 1
                self.found.append(self._looked(q[:, -self.tokens :], k, heads))
            return attend(q, k, v, heads)

        return watched

    def _looked(self, q: Tensor, k: Tensor, heads: int) -> Tensor:
        """q (B, La, D), k (B, Lv + La, D) -> (B, h w): the mean attention of tokens to the picture of their moment."""
        q, k = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k))
        weights = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).float().softmax(-1)
        t, h, w = self.grid
        places = weights[..., : t * h * w].unflatten(-1, (t, h * w)).mean(1)
        return places[:, torch.arange(self.tokens, device=q.device), self.moments].mean(1)

    def loss(self) -> Tensor:
        """How far the mouth is from `ENOUGH`, in natural logarithms, mean over the rows that make sound and have a mouth that is known."""
        looked = self.mouth.new_zeros(self.mouth.shape)
        for rows, found in zip(self.rows, self.found, strict=True):
            looked = looked.index_add(0, rows, found.float())
        counts = self.counts & (looked.sum(1) > 0)
        share = (looked * self.mouth).sum(1) / looked.sum(1).clamp(min=1e-9)
        times = share / self.mouth.mean(1).clamp(min=1e-9)
        short = F.relu(math.log(ENOUGH) - times.clamp(min=1e-6).log())
        return (short * counts).sum() / counts.sum().clamp(min=1)
