"""The loss that draws the sound's attention to the mouth, against the maps that are shown to people."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from training.toy import MODEL, TALK, toy_batches, toy_learner

from unitalking_core.attention_maps import AttentionWatch, inside
from unitalking_core.tasks import APART, AUDIO_FOLLOWS, JOINT
from unitalking_core.training.batches import Batch
from unitalking_core.training.conditions import conditions_for_training
from unitalking_core.training.looking import ENOUGH, Looking
from unitalking_core.training.objective import Learner, checkpointed

GRID = (4, 3, 3)


def batch_of(folder: Path, mouth: tuple[int, int] = (2, 1)) -> Batch:
    """Rows that generate both streams from larger pictures, with a mouth that is one token of them."""
    stage = dataclasses.replace(TALK, tasks={"TI2AV": 1}, drop_text=0, drop_voice=0, drop_cross=0)
    batch = toy_batches(folder, stage).draw(0).to("cpu")
    video = torch.randn(len(batch.audio), 4, GRID[0], 2 * GRID[1], 2 * GRID[2], generator=torch.Generator().manual_seed(1))
    box = torch.zeros(len(video), *video.shape[-2:])
    box[:, 2 * mouth[0] : 2 * mouth[0] + 2, 2 * mouth[1] : 2 * mouth[1] + 2] = 1
    return dataclasses.replace(batch, video=video, video_noise=torch.randn_like(video), mouth=box)


def looked(learner: Learner, batch: Batch) -> float:
    return learner(batch, look=1.0).total.item() - learner(batch).total.item()


@pytest.mark.parametrize("seen", [JOINT, AUDIO_FOLLOWS])
def test_it_is_what_the_maps_show(seen: object, tmp_path: Path) -> None:
    learner, one = toy_learner(), batch_of(tmp_path).rows([0])
    one = dataclasses.replace(one, visibility=(seen,))
    watch = AttentionWatch(GRID, one.audio.shape[2], MODEL.transformer.layers)
    looking = Looking(one, GRID, MODEL.timeline)
    conditions = conditions_for_training(learner.transformer, learner.encode_text(one), one.voice, one.gate, video=True)
    level = 1000 * one.s
    with torch.no_grad():
        learner.transformer(one.video, one.audio, level, level, conditions, one.visibility, attend=looking.watching(watch.watching()))
    maps = watch.result().audio_to_video
    assert maps is not None
    # Every token counts alike in the loss, where the maps show a mean of each moment's.
    own = torch.stack([maps[token, moment] for token, moment in enumerate(looking.moments)]).mean(0, keepdim=True)
    got, area = inside(own, torch.nn.functional.avg_pool2d(one.mouth, 2)[0])
    assert looking.loss().item() == pytest.approx(max(0.0, math.log(ENOUGH) - math.log(got / area)), rel=1e-5)


def test_rows_count_alike_whoever_may_see_whom(tmp_path: Path) -> None:
    learner, batch = toy_learner(), batch_of(tmp_path)
    kinds = [JOINT, AUDIO_FOLLOWS, APART]
    batch = dataclasses.replace(batch, visibility=tuple(kinds[row % 3] for row in range(len(batch.audio))))
    seeing = [row for row, kind in enumerate(batch.visibility) if kind != APART]
    alone = [looked(learner, batch.rows([row])) for row in seeing]
    assert looked(learner, batch) == pytest.approx(sum(alone) / len(alone), abs=1e-4)


def test_no_mouth_and_no_sound_to_make_cost_nothing(tmp_path: Path) -> None:
    learner, batch = toy_learner(), batch_of(tmp_path)
    unknown = dataclasses.replace(batch, mouth=torch.zeros_like(batch.mouth))
    given = dataclasses.replace(batch, audio_mask=torch.zeros_like(batch.audio_mask))
    assert looked(learner, unknown) == pytest.approx(0, abs=1e-6)
    assert looked(learner, given) == pytest.approx(0, abs=1e-6)


def test_blocks_that_are_computed_again_give_the_same_gradient(tmp_path: Path) -> None:
    batch, gradients = batch_of(tmp_path), []
    for run_block in (None, checkpointed):
        learner = toy_learner()
        learner.run_block = run_block
        learner(batch, look=1.0).total.backward()
        gradients.append([p.grad for p in learner.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain)


def test_following_it_makes_the_sound_look_there(tmp_path: Path) -> None:
    learner, batch = toy_learner(), batch_of(tmp_path)
    before = looked(learner, batch)
    optimizer = torch.optim.Adam(learner.parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        learner(batch, look=1.0).total.backward()
        optimizer.step()
    assert looked(learner, batch) < before / 3
