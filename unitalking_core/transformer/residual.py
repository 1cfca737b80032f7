"""Latents of a model that predicts residuals: what its streams see, and how the velocity follows from what their heads give.

Such a model works around the best linear guess. Data are expected around a centre (a first picture that is given, else 0) with a known
spread; the network sees how far the noisy latent is from there, and gives what a linear guess from that leaves, both of unit variance, as
Karras et al. do for denoisers (arXiv 2206.00364). Notation: `x` a latent (B, C, T, h, w) or (B, C, La) at noise levels `level`, which
broadcast to it; level 0 marks what is given.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Guess(NamedTuple):
    """Where the data are expected: around `centre`, within `spread`; float32, both broadcast to the latent."""

    centre: Tensor
    spread: Tensor


def guess(x: Tensor, first_given: Tensor, change: float) -> Guess:
    """Around the first latent in the rows of `first_given` (B,), within `change`; around 0 within 1 in the others."""
    rows = first_given.view(-1, *[1] * (x.ndim - 1))
    return Guess(torch.where(rows, x[:, :, :1].float(), 0.0), torch.where(rows, change, 1.0))


def normalise(x: Tensor, level: Tensor, expected: Guess) -> Tensor:
    """What the stream sees, in the type of x: the distance from the guess, in its deviations; what is given stays as it is."""
    distance = x.float() - (1 - level) * expected.centre
    deviation = ((1 - level) ** 2 * expected.spread**2 + level**2).sqrt()
    return torch.where(level > 0, distance / deviation, x.float()).to(x.dtype)


def precondition(s: Tensor, spread: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
    """(skip, scale): velocity = skip x_s + scale r, with r what the best linear guess from x_s leaves, of unit variance.

    For data of mean 0 and deviation `spread` at noise level s: skip is the regression of the velocity on x_s, scale the deviation around it
    (the counterpart of table 1 of Karras et al.).
    """
    power = spread**2
    variance = (1 - s) ** 2 * power + s**2
    return (s - (1 - s) * power) / variance, spread * variance.rsqrt()


def to_velocity(out: Tensor, x: Tensor, level: Tensor, expected: Guess) -> Tensor:
    """The velocity, in the type of x."""
    skip, scale = precondition(level, expected.spread)
    return (skip * (x.float() - (1 - level) * expected.centre) - expected.centre + scale * out.float()).to(x.dtype)


def loss_weight(level: Tensor, spread: Tensor) -> Tensor:
    """What brings squared errors of the velocity to those of the network's output: every level then has targets of the same size."""
    return precondition(level, spread)[1] ** -2
