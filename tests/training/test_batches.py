"""Batches: the task table's masks, dropouts, and that a step's batch is a function of its number."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from training.toy import TALK, VOICE, toy_batches, write_store

from unitalking_core.tasks import APART, TASKS
from unitalking_core.training.latents import LatentStore


def test_masks_conditions_and_visibility_follow_the_table(tmp_path: Path) -> None:
    stage = dataclasses.replace(TALK, drop_text=0.0, drop_voice=0.0, drop_cross=0.0)
    batches, seen = toy_batches(tmp_path, stage), set()
    for step in range(30):
        batch = batches.draw(step)
        for row, name in enumerate(batch.tasks):
            task = TASKS[name]
            seen.add(name)
            assert batch.visibility[row] == task.visibility
            if name in ("T2AV", "TI2AV", "A2V"):
                assert batch.gate[row] == 0
            if name in ("TR2AV", "TIR2AV"):
                assert batch.gate[row] == 1
            if name == "continuation":
                assert 0 < batch.video_mask[row].sum() < 4
                assert 0 < batch.audio_mask[row].sum() < 11
                continue
            assert batch.lengths[row] > 0
            video_mask, audio_mask = task.masks(4, 11)
            assert torch.equal(batch.audio_mask[row], audio_mask)
            if video_mask is None:
                assert batch.video is None
            else:
                assert torch.equal(batch.video_mask[row], video_mask)
    assert seen == set(TALK.tasks)


def test_a_step_is_a_function_of_its_number(tmp_path: Path) -> None:
    one, two = toy_batches(tmp_path, TALK), toy_batches(tmp_path, TALK)
    two.draw(0)
    for step in (7, 3):
        for name, value in vars(one.draw(step)).items():
            other = getattr(two.draw(step), name)
            assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other
    assert not torch.equal(one.draw(3).audio_noise, one.draw(4).audio_noise)
    assert not torch.equal(one.draw(3).audio_noise, toy_batches(tmp_path, TALK, seed=1).draw(3).audio_noise)


def test_each_dropout_is_its_own(tmp_path: Path) -> None:
    stage = dataclasses.replace(TALK, tasks={"TIR2AV": 1}, batch=50, drop_text=0.5, drop_voice=0.5, drop_cross=0.5)
    batches = toy_batches(tmp_path, stage)
    drawn = [batches.draw(step) for step in range(4)]
    text = torch.cat([b.lengths == 0 for b in drawn])
    voice = torch.cat([b.gate == 0 for b in drawn])
    cross = torch.tensor([v == APART for b in drawn for v in b.visibility])
    for combination in range(8):
        bits = [bool(combination & (1 << i)) for i in range(3)]
        share = ((text == bits[0]) & (voice == bits[1]) & (cross == bits[2])).float().mean()
        assert 0.04 < share < 0.24


def test_held_out_clips_are_never_drawn_and_silent_pictures_only_for_speech(tmp_path: Path) -> None:
    batches = toy_batches(tmp_path, TALK)
    assert {e.id for e in batches.speech} == {f"c{i}" for i in range(1, 10)}
    assert {e.id for e in batches.clips_with_video} == {f"c{i}" for i in range(1, 9)}
    with pytest.raises(ValueError, match="no training clips for the stage 'voice'"):
        write_store(tmp_path / "empty", clips=1)
        toy_batches_of_one = LatentStore(tmp_path / "empty")
        type(batches)(toy_batches_of_one, VOICE, 0, 6, batches.text_batch, lambda text: [4])
