"""Schedules and the division of the weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from training.toy import TALK, VOICE, toy_learner

from unitalking_core.training.muon import Muon
from unitalking_core.training.optimizers import build_optimizers, learning_rate


def test_schedules() -> None:
    rates = {
        name: [learning_rate(dataclasses.replace(TALK, schedule=name, steps=100, warmup=10, lr=1.0), step) for step in (0, 9, 50, 80, 99)]
        for name in ("constant", "linear", "cosine", "late")
    }
    assert rates["constant"] == pytest.approx([0.1, 1, 1, 1, 1])
    assert rates["linear"] == pytest.approx([0.1, 0.91, 0.5, 0.2, 0.01])
    assert rates["late"] == pytest.approx([0.1, 1, 0.5 / 0.55, 0.2 / 0.55, 0.01 / 0.55])
    assert rates["cosine"][2] == pytest.approx(0.5)


def test_muon_takes_the_matrices_of_blocks_and_a_stage_freezes_the_rest() -> None:
    learner = toy_learner()
    muon, adam = build_optimizers(learner, VOICE)
    assert isinstance(muon, torch.optim.Muon)
    names = {id(p): name for name, p in learner.named_parameters()}
    matrices = {names[id(p)] for p in muon.param_groups[0]["params"]}
    others = {names[id(p)] for p in adam.param_groups[0]["params"]}
    assert "transformer.audio.blocks.0.self_attn.q.weight" in matrices
    assert {"transformer.audio.head.head.weight", "text_encoder.embed.weight", "transformer.audio.blocks.0.norm3.weight"} <= others
    assert not any(name.startswith("transformer.blocks") for name in matrices | others)
    assert not learner.transformer.blocks[0].self_attn.q.weight.requires_grad
    with pytest.raises(ValueError, match="no parameter's name begins with wings"):
        build_optimizers(learner, dataclasses.replace(VOICE, trainable=("wings",)))


def test_muon_steps_as_torchs_does() -> None:
    torch.manual_seed(0)
    shapes = ((24, 24), (24, 24), (48, 24), (24, 48))
    starts, gradients = ([torch.randn(shape) for shape in shapes] for _ in range(2))
    moved = []
    for kind in (Muon, torch.optim.Muon):
        parameters = [torch.nn.Parameter(start.clone()) for start in starts]
        optimizer = kind(parameters, lr=0.02, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        for _ in range(3):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()
        moved.append([parameter.detach() - start for parameter, start in zip(parameters, starts, strict=True)])
    for ours, theirs in zip(*moved, strict=True):  # theirs is computed in bfloat16
        assert torch.nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.999
        assert ours.norm().item() == pytest.approx(theirs.norm().item(), rel=0.02)
