"""Latents of a model that predicts data: what its streams see, and how the velocity follows from what their heads give.

Data are expected around a centre (a first picture that is given, else 0) with a known spread. The network sees how far the noisy latent is
from there, in deviations (Karras et al., arXiv 2206.00364), and gives how far the data are, in spreads. A token with as many values as
the width has no room to pass its noise through to a velocity, while data need little (Li and He, arXiv 2511.13720); and what stays as it
began needs nothing at all. Notation: `x` a latent (B, C, T, h, w) or (B, C, La) at noise levels `level`, which broadcast to it; level 0
marks what is given.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

LEAST_NOISE = 0.05
"""Below this level the velocity is taken as if the level were this: the quotient would only enlarge errors (Li and He)."""
MOST_WEIGHT = 5.0


class Guess(NamedTuple):
    """Where the data are expected: around `centre`, within `spread`; float32, both broadcast to the latent."""

    centre: Tensor
    spread: Tensor


def guess(x: Tensor, first_given: Tensor, change: float) -> Guess:
    """Around the first latent in the rows of `first_given` (B,), within `change`; around 0 within 1 in the others."""
    rows = first_given.view(-1, *[1] * (x.ndim - 1))
    return Guess(torch.where(rows, x[:, :, :1].float(), 0.0), torch.where(rows, change, 1.0))


def expected_around(x: Tensor, t: Tensor, grid: tuple[int, ...], patch: tuple[int, ...], change: float) -> tuple[Tensor, Guess]:
    """Noise levels (B, 1, ...) as fine as the latent, of timesteps t (B, G) on its grid of tokens, and where its data are expected."""
    level = (t / 1000).repeat_interleave(math.prod(grid) // t.shape[1], dim=1).unflatten(1, grid)
    for axis, cells in enumerate(patch):
        level = level.repeat_interleave(cells, dim=1 + axis)
    first_given = (t[:, 0] == 0) & (t.shape[1] > 1)
    return level[cropped(x)].unsqueeze(1), guess(x, first_given, change)


def cropped(x: Tensor) -> tuple[Any, ...]:
    """The index that brings what was padded to whole patches back to the latent's sizes."""
    return (..., *(slice(n) for n in x.shape[2:]))


def normalise(x: Tensor, level: Tensor, expected: Guess) -> Tensor:
    """What the stream sees, in the type of x: the distance from the centre, in its deviations; what is given stays as it is."""
    distance = x.float() - (1 - level) * expected.centre
    return torch.where(level > 0, distance / _variance(level, expected.spread).sqrt(), x.float()).to(x.dtype)


def to_velocity(out: Tensor, x: Tensor, level: Tensor, expected: Guess) -> Tensor:
    """The velocity, in the type of x, from the predicted data: centre + spread x out."""
    data = expected.centre + expected.spread * out.float()
    return ((x.float() - data) / level.clamp(min=LEAST_NOISE)).to(x.dtype)


def loss_weight(level: Tensor, spread: Tensor) -> Tensor:
    """Of squared errors of the velocity: those of the output, times how much the level tells of the data, at most MOST_WEIGHT.

    Without the limit, errors count as in Karras et al.; most of the loss would be what little noise hides anyway.
    """
    told = (_variance(level, spread) / level.clamp(min=1e-6) ** 2).clamp(max=MOST_WEIGHT)
    return told * (level.clamp(min=LEAST_NOISE) / spread) ** 2


def _variance(level: Tensor, spread: Tensor) -> Tensor:
    """Of the noisy latent around its centre."""
    return (1 - level) ** 2 * spread**2 + level**2
