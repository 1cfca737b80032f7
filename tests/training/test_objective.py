"""The loss: what is given is clean, counts for nothing, and what is generated counts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from training.toy import TALK, VOICE, toy_batches, toy_learner

from unitalking_core.prediction import LEAST_NOISE, MOST_WEIGHT, loss_weight
from unitalking_core.training.batches import Batch, covered
from unitalking_core.training.objective import Learner, checkpointed, generated, place_weights


@pytest.fixture
def learner() -> Learner:
    """With a head that says something."""
    learner = toy_learner()
    for stream in (learner.transformer, learner.transformer.audio):
        torch.nn.init.normal_(stream.head.head.weight, std=0.3)
    return learner


def batch_of(task: str, folder: Path) -> Batch:
    stage = dataclasses.replace(TALK, tasks={task: 1}, drop_text=0, drop_voice=0, drop_cross=0)
    return toy_batches(folder, stage).draw(0).to("cpu")


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
    batch = toy_batches(tmp_path, VOICE).draw(0).to("cpu")
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


def test_data_count_in_units_of_what_the_heads_give(tmp_path: Path) -> None:
    """With heads that say nothing, the error of pictures as spread as expected is the weight of their level: 1 to MOST_WEIGHT."""
    learner = toy_learner(predicts="data")
    for stream in (learner.transformer, learner.transformer.audio):
        torch.nn.init.zeros_(stream.head.head.bias)
    batch = batch_of("T2AV", tmp_path)

    def spread(like: torch.Tensor) -> torch.Tensor:
        drawn = torch.randn_like(like)
        return drawn / drawn.flatten(1).square().mean(1).sqrt().view(-1, *[1] * (like.ndim - 1))

    many = dataclasses.replace(batch, video=spread(batch.video), audio=spread(batch.audio))
    losses = learner(many)
    wanted = loss_weight(many.s, torch.ones(())) / many.s.clamp(min=LEAST_NOISE) ** 2
    assert 1 <= wanted.min().item() <= wanted.max().item() <= MOST_WEIGHT
    assert losses.video.mean().item() == pytest.approx(wanted.mean().item(), rel=1e-4)
    velocity = batch.audio_noise - many.audio  # sound's head gives velocity
    assert losses.audio.mean().item() == pytest.approx(velocity.square().mean().item(), rel=1e-4)


def gradients(learner: Learner, batches: list[Batch], **options: float) -> dict[str, torch.Tensor]:
    learner.zero_grad()
    counts = generated(batches)
    for batch in batches:
        learner(batch, counts=counts, **options).total.backward()
    return {name: p.grad.clone() for name, p in learner.named_parameters() if p.grad is not None}


def joined(parts: list[Batch]) -> Batch:
    """The rows of several batches as one."""
    values = [vars(part) for part in parts]
    return Batch(
        **{
            k: torch.cat([v[k] for v in values]) if isinstance(values[0][k], torch.Tensor) else sum((v[k] for v in values), ())
            for k in (field.name for field in dataclasses.fields(Batch) if field.init and field.name != "seed")
        }
    )


def test_the_parts_of_a_step_equal_one_batch_of_their_rows(tmp_path: Path, learner: Learner) -> None:
    learner.double()
    batches = toy_batches(tmp_path, dataclasses.replace(TALK, tasks={"TIR2AV": 1, "TV2A": 1, "A2V": 1, "continuation": 1}, batch=3))
    drawn = [batches.draw(step).to("cpu") for step in range(3)]
    parts = [
        dataclasses.replace(b, **{k: v.double() for k, v in vars(b).items() if getattr(v, "is_floating_point", bool)()}) for b in drawn
    ]
    assert len({part.audio_mask.sum().item() for part in parts}) > 1  # a mean of the parts' means would be another loss
    apart, together = gradients(learner, parts, motion=1.0), gradients(learner, [joined(parts)], motion=1.0)
    assert apart.keys() == together.keys()
    for name, value in together.items():
        assert torch.allclose(apart[name], value, rtol=1e-5, atol=1e-8), name


@pytest.mark.parametrize("task", ["TIR2AV", "T2A"])
def test_checkpointing_leaves_the_gradients(task: str, tmp_path: Path, learner: Learner) -> None:
    batch, blocks = batch_of(task, tmp_path), []
    plain = gradients(learner, [batch])

    def run_block(i: int, *arguments: object) -> object:
        blocks.append(i)
        return checkpointed(i, *arguments)

    learner.run_block = run_block
    again = gradients(learner, [batch])
    assert blocks == [0, 1]
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], value) for name, value in again.items())


def test_streams_are_weighted(tmp_path: Path, learner: Learner) -> None:
    batch = batch_of("T2AV", tmp_path)
    both, video, audio = (
        learner(batch, weights=weights).total.item() for weights in ({}, {"audio": 0.0, "video": 2.0}, {"audio": 0.5, "video": 0.0})
    )
    assert both == pytest.approx(video / 2 + audio * 2)
    assert min(video, audio) > 0
