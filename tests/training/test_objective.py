"""The loss: what is given is clean, counts for nothing, and what is generated counts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from training.toy import TALK, VOICE, toy_batches, toy_learner

from unitalking_core.training.batches import Batch, covered
from unitalking_core.training.objective import Learner, place_weights


@pytest.fixture
def learner() -> Learner:
    """With a head that says something."""
    learner = toy_learner()
    for stream in (learner.transformer, learner.transformer.audio):
        torch.nn.init.normal_(stream.head.head.weight, std=0.3)
    return learner


def batch_of(task: str, folder: Path) -> Batch:
    stage = dataclasses.replace(TALK, tasks={task: 1}, drop_text=0, drop_voice=0, drop_cross=0)
    return toy_batches(folder, stage).draw(0)


@pytest.mark.parametrize("task", ["TI2AV", "TIR2AV", "TV2A", "A2V", "continuation", "T2AV"])
def test_noise_where_a_row_is_given_changes_nothing(task: str, tmp_path: Path, learner: Learner) -> None:
    batch = batch_of(task, tmp_path)
    before = learner(batch)
    other = dataclasses.replace(
        batch,
        video_noise=batch.video_noise + 5 * (1 - batch.video_mask)[:, None, :, None, None],
        audio_noise=batch.audio_noise + 5 * (1 - batch.audio_mask)[:, None],
    )
    assert learner(other).total.item() == pytest.approx(before.total.item(), abs=1e-6)
    moved = dataclasses.replace(batch, audio_noise=batch.audio_noise + 1, video_noise=batch.video_noise + 1)
    assert abs(learner(moved).total.item() - before.total.item()) > 1e-3


def test_a_given_stream_has_no_loss(tmp_path: Path, learner: Learner) -> None:
    assert not learner(batch_of("TV2A", tmp_path)).video.any()
    assert not learner(batch_of("A2V", tmp_path)).audio.any()
    assert learner(batch_of("A2V", tmp_path)).video.all()


def test_a_zero_prediction_costs_the_targets_power(tmp_path: Path) -> None:
    batch = batch_of("T2AV", tmp_path)
    learner = toy_learner()
    for stream in (learner.transformer, learner.transformer.audio):
        torch.nn.init.zeros_(stream.head.head.bias)
    wanted = (batch.audio_noise - batch.audio).square().mean() + (batch.video_noise - batch.video).square().mean()
    assert learner(batch).total.item() == pytest.approx(wanted.item(), rel=1e-4)


def test_speech_alone_equals_the_transformer_with_all_conditions(tmp_path: Path, learner: Learner) -> None:
    batch = dataclasses.replace(toy_batches(tmp_path, VOICE).draw(0))
    short = learner(batch).total
    learner._prepare_speech = learner.transformer.prepare
    assert short.item() == pytest.approx(learner(batch).total.item(), rel=1e-6)


def test_motion_and_mouth_weigh(tmp_path: Path, learner: Learner) -> None:
    batch = batch_of("TI2AV", tmp_path)
    rows, _, _, height, width = batch.video.shape
    video = torch.zeros(rows, 2, 5, height, width)
    video[:, :, :, 1, 0] = torch.randn(rows, 2, 5)
    moving = dataclasses.replace(batch, video=video, mouth=torch.zeros(rows, height, width))
    weight = place_weights(moving, 1.0, 0.0)[0, 0, 0]
    assert weight.mean().item() == pytest.approx(1.0)
    assert weight[1, 0] > 3 * weight[0, 0]
    mouth = torch.zeros(rows, height, width)
    mouth[:, 0, 1] = 1
    still = dataclasses.replace(batch, video=torch.zeros_like(video), mouth=mouth)
    assert torch.equal(place_weights(still, 1.0, 0.0), torch.ones(rows, 1, 1, height, width))
    assert place_weights(still, 0.0, 3.0)[0, 0, 0, 0, 1] == pytest.approx(4 * place_weights(still, 0.0, 3.0)[0, 0, 0, 0, 0])
    assert learner(batch, motion=1.0).total.item() != pytest.approx(learner(batch).total.item(), rel=1e-4)


def test_a_box_covers_its_cells() -> None:
    assert torch.allclose(covered((0.25, 0.5, 0.625, 1.0), 2, 4), torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.5, 0.0]]))
    assert not covered(None, 2, 4).any()


def test_residuals_count_in_units_of_what_the_heads_give(tmp_path: Path) -> None:
    """With heads that say nothing, the error is the power of the residual itself: 1 for data as spread as expected."""
    learner = toy_learner(predicts="residual")
    for stream in (learner.transformer, learner.transformer.audio):
        torch.nn.init.zeros_(stream.head.head.bias)
    batch = batch_of("T2AV", tmp_path)
    many = dataclasses.replace(batch, video=torch.randn_like(batch.video), audio=torch.randn_like(batch.audio))
    losses = learner(many)
    assert losses.video.mean().item() == pytest.approx(1, abs=0.2)
    assert losses.audio.mean().item() == pytest.approx(1, abs=0.3)
