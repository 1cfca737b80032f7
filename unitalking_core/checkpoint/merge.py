"""Two checkpoints of one model, averaged weight by weight: what a short run taught, with less of what it unlearned.

As WiSE-FT (Wortsman et al., arXiv 2109.01903) averages a model before and after it was fine-tuned; further runs from one start as well.
"""

from __future__ import annotations

import os
from dataclasses import fields

from torch import Tensor

from .container import CheckpointError
from .unitalking import TEXT_ENCODER, TRANSFORMER, Checkpoint, save

LEARNED = (TRANSFORMER, TEXT_ENCODER)


def merge(path: str | os.PathLike, first: Checkpoint, second: Checkpoint, share: float) -> None:
    """Write (1 - share) of `first` plus `share` of `second`, in fp32 and then in the type that `first` is stored in. Atomic.

    Codecs and the settings of sampling are those of `first`.

    Raises CheckpointError for checkpoints of different models, quantised ones, and weights that are in one of them only.
    """
    for checkpoint in (first, second):
        if checkpoint.quantization:
            raise CheckpointError(f"{checkpoint.path.name} is quantised; merge the checkpoints that such files were made from")
    named = [field.name for field in fields(first.config) if field.name not in ("name", "sampling")]
    unlike = [name for name in named if getattr(first.config, name) != getattr(second.config, name)]
    if unlike:
        raise CheckpointError(f"{first.path.name} and {second.path.name} are not of one model: they differ in {', '.join(unlike)}")
    save(path, first.config, {part: _merged(part, first, second, share) for part in first.parts})


def _merged(part: str, first: Checkpoint, second: Checkpoint, share: float) -> dict[str, Tensor]:
    ours = first.part(part)
    if part not in LEARNED:
        return ours
    theirs = second.part(part)
    alone = sorted(ours.keys() ^ theirs.keys())
    if alone:
        raise CheckpointError(f"{first.path.name} and {second.path.name} do not hold the same weights: {alone[0]} is in one of them only")
    return {key: ((1 - share) * tensor.float() + share * theirs[key].float()).to(tensor.dtype) for key, tensor in ours.items()}
