"""Which noise levels training looks at: drawn in equal shares from a distribution, then shifted."""

from __future__ import annotations

import torch
from torch import Tensor

from ..flow import shift
from .config import Stage

EDGE = 1e-4
"""The normal distribution has no end; shares are kept this far from it."""


def draw_levels(stage: Stage, rows: int, generator: torch.Generator) -> Tensor:
    """(rows,) noise levels in [0, 1], one from each of `rows` equal shares of the stage's distribution.

    "uniform", or "logit-normal" (Esser et al., arXiv 2403.03206, section 3.1), whose logit has the stage's mean and deviation.
    """
    levels = (torch.arange(rows) + torch.rand(rows, generator=generator)) / rows
    if stage.noise == "logit-normal":
        levels = (stage.noise_mean + stage.noise_std * torch.special.ndtri(levels.clamp(EDGE, 1 - EDGE))).sigmoid()
    return shift(levels, stage.shift)
