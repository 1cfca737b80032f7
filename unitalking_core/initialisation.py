"""How weights begin, by their names: where a model is trained from nothing, and where a part of it has no trained weights to start from.

Each weight is drawn on its own, so that a model larger than the memory can be initialised one weight at a time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

FIRST_GATE = 0.4
GATES = (2, 5)
"""Rows of a block's modulation that gate its attention and its feed-forward."""
_BLOCK_MODULATION = re.compile(r"(^|\.)blocks\.\d+\.modulation\.weight$")


def initial(name: str, shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
    """The first value, in float32, of the transformer's weight `name`.

    Xavier's uniform distribution for layers, with biases of zero; norms leave values as they are; blocks begin with the same modest gates
    at every noise level, and the head predicts zero.
    """
    value = torch.zeros(tuple(shape))
    if _BLOCK_MODULATION.search(name):
        value[:, GATES] = FIRST_GATE
    elif name.endswith("head.modulation.weight"):
        value.normal_(std=shape[-1] ** -0.5, generator=generator)
    elif name.endswith("time_projection.1.weight"):
        value.normal_(std=0.02, generator=generator)
    elif name.endswith(".weight") and len(shape) == 1:
        value.fill_(1.0)
    elif name.endswith(".weight") and not name.endswith("head.head.weight"):
        bound = math.sqrt(6 / (shape[0] + math.prod(shape[1:])))
        value.uniform_(-bound, bound, generator=generator)
    return value
