"""Training towards what the start made: exact at the start, nothing learned from the data, nothing forgotten."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from training.toy import MODEL, TALK, toy_batches, toy_config, toy_learner, write_store

from unitalking_core.config import ConfigError
from unitalking_core.training.objective import Learner
from unitalking_core.training.run import ship
from unitalking_core.training.trainer import Trainer


def moved(learner: Learner, by: float) -> None:
    """Another model than the one that `learner` remembers as its start."""
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter += by * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))


def test_at_the_start_there_is_nothing_to_learn(tmp_path: Path) -> None:
    learner, batch = toy_learner(), toy_batches(tmp_path, TALK).draw(0).to("cpu")
    moved(learner, 0.02)  # fresh heads make nothing
    learner.remember_start(lambda name: True)
    found = learner(batch, keep=1.0)
    assert found.total.item() == 0
    found.total.backward()
    assert all(p.grad is None or not p.grad.any() for p in learner.parameters())
    assert learner(batch).total.item() > 0.1


def test_it_aims_between_the_data_and_the_start(tmp_path: Path) -> None:
    learner, batch = toy_learner(), toy_batches(tmp_path, TALK).draw(0).to("cpu")
    moved(learner, 0.02)
    learner.remember_start(lambda name: True)
    kept = {name: p.detach().clone() for name, p in learner.named_parameters()}
    moved(learner, 0.01)
    plain, half, whole = (learner(batch, keep=share).total.item() for share in (0.0, 0.5, 1.0))
    assert 0 < whole < plain
    # |v - (d + e) / 2|^2 = (|v - d|^2 + |v - e|^2) / 2 - |d - e|^2 / 4, and d - e is what the start got wrong.
    now = {name: p.detach().clone() for name, p in learner.named_parameters()}
    learner.load_state_dict(kept)
    wrong = learner(batch).total.item()
    assert half == pytest.approx((plain + whole) / 2 - wrong / 4, rel=1e-4)
    learner.load_state_dict(now)
    assert learner(batch).total.item() == pytest.approx(plain)  # the weights are back in their place after each pass


def test_half_precision_takes_each_its_own_weights(tmp_path: Path) -> None:
    """Autocast keeps what it has converted: the start's weights must not stay in their place."""
    learner, batch = toy_learner(), toy_batches(tmp_path, TALK).draw(0).to("cpu")
    moved(learner, 0.02)
    learner.remember_start(lambda name: True)
    moved(learner, 0.05)
    with torch.autocast("cpu", torch.bfloat16):
        found = learner(batch, keep=1.0)
    found.total.backward()
    assert found.total.item() == pytest.approx(learner(batch, keep=1.0).total.item(), rel=0.1)
    assert all(block.self_attn.q.weight.grad is not None for block in learner.transformer.blocks)


def test_a_run_keeps_to_its_start_and_resumes(tmp_path: Path) -> None:
    start, stage = tmp_path / "start.safetensors", dataclasses.replace(TALK, steps=4, keep=1.0, trainable=("audio\\.",), optimizer="adamw")
    learner = toy_learner(seed=4)
    moved(learner, 0.02)
    ship(str(start), MODEL, dict(learner.named_parameters()), {})

    def trainer(folder: Path) -> Trainer:
        folder.mkdir(exist_ok=True)
        config = toy_config(folder, stage, start=str(start), device="cpu")
        return Trainer(config, MODEL, lambda _: write_store(folder / "latents"), lambda average, steps: None)

    whole = trainer(tmp_path / "whole")
    assert whole.run()
    kept = whole.learner.start
    assert kept
    assert all(name.removeprefix("transformer.").startswith("audio.") for name in kept)
    assert not trainer(tmp_path / "cut").run(until=2)
    resumed = trainer(tmp_path / "cut")
    assert resumed.run()
    for name, value in whole.learner.state_dict().items():
        assert torch.equal(value, resumed.learner.state_dict()[name]), name


def test_it_needs_a_start(tmp_path: Path) -> None:
    config = toy_config(tmp_path, dataclasses.replace(TALK, keep=1.0))
    with pytest.raises(ConfigError, match="needs a 'start'"):
        Trainer(config, toy_learner().config, lambda stage: None, lambda average, steps: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match="keep must be between 0 and 1"):
        dataclasses.replace(TALK, keep=1.5)
