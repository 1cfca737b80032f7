"""Batches: the task table's masks, dropouts, and that a step's batch is a function of its number."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from training.toy import TALK, VOICE, toy_batches

from unitalking_core.config import ConfigError
from unitalking_core.tasks import APART, TASKS
from unitalking_core.training.batches import draw_ahead
from unitalking_core.training.buckets import Bucket, form_buckets
from unitalking_core.training.latents import Entry
from unitalking_core.training.levels import draw_levels


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
                assert 0 < batch.audio_mask[row].sum() < 14
                continue
            assert batch.lengths[row] > 0
            video_mask, audio_mask = task.masks(4, 14)
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
    others = one.draw(4), toy_batches(tmp_path, TALK, seed=1).draw(3)
    noise, again, *other = (batch.to("cpu").audio_noise for batch in (one.draw(3), two.draw(3), *others))
    assert torch.equal(noise, again)
    assert not any(torch.equal(noise, different) for different in other)


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


def ids(buckets: list[Bucket]) -> set[str]:
    return {entry.id for bucket in buckets for entry in bucket.entries}


def test_held_out_clips_are_never_drawn_and_clips_without_video_only_for_speech(tmp_path: Path) -> None:
    batches = toy_batches(tmp_path, TALK, speech=3)
    assert ids(batches.speech) == {f"c{i}" for i in range(1, 13)}
    assert ids(batches.clips_with_video) == {f"c{i}" for i in range(1, 9)}
    with pytest.raises(ValueError, match="no training clips for the stage 'voice'"):
        toy_batches(tmp_path / "empty", VOICE, clips=1)


def test_clips_of_speech_alone_are_heard_where_the_task_has_no_video(tmp_path: Path) -> None:
    batches = toy_batches(tmp_path, dataclasses.replace(TALK, tasks={"T2A": 1, "T2AV": 1}), speech=3)
    spoken = {name: batches.store.audio(e) for e in batches.store.entries if (name := e.id) in ("c10", "c11", "c12")}
    heard: dict[bool, set[str]] = {False: set(), True: set()}
    for step in range(20):
        batch = batches.draw(step)
        rows = {name for name, sound in spoken.items() if any(torch.equal(sound, row) for row in batch.audio)}
        heard[batch.video is not None] |= rows
    assert heard == {False: set(spoken), True: set()}


def test_a_batch_is_of_one_length_and_longer_clips_come_in_smaller_batches(tmp_path: Path) -> None:
    stage = dataclasses.replace(TALK, tasks={"TI2AV": 1, "T2A": 1, "continuation": 1}, batch=6)
    batches = toy_batches(tmp_path, stage, long=16)
    assert [(len(b.entries), b.rows) for b in batches.clips_with_video] == [(8, 6), (16, 3)]
    shapes = Counter(
        (len(b.tasks), b.audio.shape[2], b.video.shape[2] if b.video is not None else 0) for b in map(batches.draw, range(300))
    )
    assert set(shapes) == {(6, 14, 4), (3, 31, 8), (6, 14, 0), (3, 31, 0)}
    assert 1.4 < shapes[3, 31, 8] / shapes[6, 14, 4] < 2.8  # 16 clips to 8


def test_rounds_through_a_bucket_leave_no_clip_out() -> None:
    entries = [Entry(f"c{i}", "train", "", "", (0, (3, 14)), (0, (3, 8)), None) for i in range(7)]
    (bucket,) = form_buckets(entries, video=False, batch=3, key="k")
    drawn = [entry.id for step in range(7) for entry in bucket.draw(step)]
    assert all(sorted(drawn[i : i + 7]) == [f"c{j}" for j in range(7)] for i in (0, 7, 14))
    assert drawn[:7] != drawn[7:14]


def test_a_continuation_is_given_as_much_sound_as_picture(tmp_path: Path) -> None:
    batches = toy_batches(tmp_path, dataclasses.replace(TALK, tasks={"continuation": 1}, batch=12), long=60)
    prefixes, gates, lengths = set(), set(), set()
    for batch in map(batches.draw, range(20)):
        assert batch.video_mask is not None
        for video, audio, gate, length in zip(batch.video_mask, batch.audio_mask, batch.gate, batch.lengths, strict=True):
            latents, tokens = int((1 - video).sum()), int((1 - audio).sum())
            assert torch.equal(video, (torch.arange(len(video)) >= latents).float())
            assert torch.equal(audio, (torch.arange(len(audio)) >= tokens).float())
            seen, heard = (4 * (latents - 1) + 1) / 24, tokens / 25
            assert 0 <= heard - seen < 1 / 25
            prefixes.add(latents)
            gates.add(gate.item())
            lengths.add(bool(length))
    assert prefixes == {1, 2, 3, 4}
    assert gates == {0, 1}
    assert lengths == {False, True}


def test_noise_levels_are_stratified_and_follow_their_distribution() -> None:
    draw = partial(draw_levels, rows=2000, generator=torch.Generator().manual_seed(0))
    uniform = draw(dataclasses.replace(TALK, shift=1.0))
    assert torch.equal((uniform * 2000).floor(), torch.arange(2000.0))
    shifted = draw(dataclasses.replace(TALK, shift=3.0))
    assert shifted.median().item() == pytest.approx(0.75, abs=2e-3)
    normal = draw(dataclasses.replace(TALK, noise="logit-normal", noise_mean=0.5, noise_std=0.8))
    assert bool((normal.diff() > 0).all())
    assert normal.logit().mean().item() == pytest.approx(0.5, abs=5e-3)
    assert normal.logit().std().item() == pytest.approx(0.8, abs=5e-3)
    moved = draw(dataclasses.replace(TALK, noise="logit-normal", noise_mean=0.5, noise_std=0.8, shift=2.0))
    assert moved.logit().mean().item() == pytest.approx(0.5 + math.log(2), abs=5e-3)


def test_a_stage_may_repeat_the_clips_of_a_split_or_leave_them_out(tmp_path: Path) -> None:
    met = {}
    for name, repeats in (("all", {}), ("more", {"train_audio": 3}), ("alone", {"train": 0})):
        batches = toy_batches(tmp_path, dataclasses.replace(VOICE, repeats=repeats), speech=4)
        met[name] = Counter(entry.split for bucket in batches.speech for entry in bucket.entries)
    with pytest.raises(ValueError, match="repeats train_sounds, of which there are no training clips; there are train, train_audio"):
        toy_batches(tmp_path, dataclasses.replace(VOICE, repeats={"train_sounds": 2}), speech=4)
    with pytest.raises(ConfigError, match="whole numbers"):
        dataclasses.replace(VOICE, repeats={"train": 0.5})
    assert met == {"all": {"train": 9, "train_audio": 4}, "more": {"train": 9, "train_audio": 12}, "alone": {"train_audio": 4}}


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_drawn_ahead_are_those_of_their_steps(workers: int, tmp_path: Path) -> None:
    batches = toy_batches(tmp_path, TALK)
    ahead = list(draw_ahead(batches, 3, 7, workers, pinned=False))
    assert len(ahead) == 4
    for step, batch in enumerate(ahead, start=3):
        for name, value in vars(batches.draw(step)).items():
            found = getattr(batch, name)
            assert torch.equal(found, value) if isinstance(value, torch.Tensor) else found == value, name


def test_a_moved_batch_knows_what_it_knew(tmp_path: Path) -> None:
    batch = toy_batches(tmp_path, TALK).draw(0)
    moved = batch.changed(lambda tensor: tensor.to("meta"))
    assert (moved.longest, moved.whole, moved.tasks) == (batch.longest, batch.whole, batch.tasks)
    assert moved.audio.is_meta
    assert batch.audio.device.type == "cpu"
