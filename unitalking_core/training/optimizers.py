"""Which optimiser trains which weight, and at what rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from ..config import ConfigError
from .config import Stage

LATE_PART = 0.55


def build_optimizers(model: nn.Module, stage: Stage) -> list[torch.optim.Optimizer]:
    """Freeze what the stage does not train; Muon takes the matrices inside blocks, AdamW everything else.

    Muon's steps are scaled to AdamW's root mean square, so that one rate serves both. Raises ValueError when nothing is trained.
    """
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(stage.trains(name))
        if parameter.requires_grad:
            (matrices if stage.optimizer == "muon" and takes_muon(name, parameter) else rest).append(parameter)
    if not matrices and not rest:
        raise ValueError(f"stage {stage.name}: no parameter's name begins with {', '.join(stage.trainable)}")
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        try:
            from .muon import Muon
        except AttributeError as error:
            raise ConfigError(f"torch {torch.__version__} has no Muon; update torch, or set the stage's optimizer to 'adamw'") from error
        optimizers.append(Muon(matrices, lr=stage.lr, momentum=0.95, weight_decay=stage.weight_decay, adjust_lr_fn="match_rms_adamw"))
    if rest:
        optimizers.append(torch.optim.AdamW(rest, lr=stage.lr, betas=stage.betas, weight_decay=stage.weight_decay, fused=True))
    return optimizers


def takes_muon(name: str, parameter: torch.Tensor) -> bool:
    """Whether Muon takes this weight: a matrix inside a block."""
    return parameter.ndim == 2 and (".blocks." in name or name.startswith("blocks.") or ".layers." in name)


def learning_rate(stage: Stage, step: int) -> float:
    """The rate at a step of the stage: a linear warm-up, then the stage's schedule."""
    rate = stage.lr * min(1.0, (step + 1) / max(1, stage.warmup))
    done = step / stage.steps
    if stage.schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * done))
    if stage.schedule == "late":
        return rate * min(1.0, (1 - done) / LATE_PART)
    return rate * (1 - done) if stage.schedule == "linear" else rate
