"""Measures on held-out latents, where the answer is known beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training.toy import MODEL, toy_learner, write_store

from unitalking_core import checkpoint
from unitalking_core.evaluation import heldout
from unitalking_core.evaluation.heldout import LEVELS, HeldOut, motion_agreement
from unitalking_core.tasks import APART
from unitalking_core.training.latents import LatentStore
from unitalking_core.training.objective import Learner

CLIPS = 5


def held_out(folder: Path, *, untrained: bool = False) -> HeldOut:
    """All but the last of the toy clips held out; weights as at the start of a training, or random ones that answer to everything."""
    write_store(folder)
    index = folder / "audio.jsonl"
    index.write_text(index.read_text().replace('"train"', '"heldout"'))
    learner: Learner = toy_learner()
    if not untrained:
        with torch.no_grad():
            for parameter in learner.parameters():
                parameter.normal_(std=0.3)
    parts = {checkpoint.TRANSFORMER: learner.transformer.state_dict(), checkpoint.TEXT_ENCODER: learner.text_encoder.state_dict()}
    checkpoint.save(folder / "model.safetensors", MODEL, parts)
    return HeldOut(checkpoint.load(folder / "model.safetensors"), LatentStore(folder), CLIPS)


def test_a_model_that_predicts_nothing_loses_the_whole_velocity(tmp_path: Path) -> None:
    model = held_out(tmp_path, untrained=True)
    found = model.losses("A2V")
    assert set(found) == {"video"}
    for clip, value in enumerate(found["video"]):
        data, want = model.store.video(model.entries[clip]), 0.0
        for level in LEVELS:
            velocity = heldout._noise("video", [clip], level, data[None])[0] - data
            want += velocity[:, 1:].square().mean().item() / len(LEVELS)  # the first latent is given
        assert value == pytest.approx(want, rel=1e-5)


def test_losses_do_not_depend_on_how_clips_are_grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = held_out(tmp_path)
    together = {task: model.losses(task) for task in ("TIR2AV", "TV2A", "T2A")}
    assert {task: set(found) for task, found in together.items()} == {"TIR2AV": {"video", "audio"}, "TV2A": {"audio"}, "T2A": {"audio"}}
    monkeypatch.setattr(heldout, "ROWS", 2)
    for task, found in together.items():
        for stream, values in model.losses(task).items():
            assert len(values) == CLIPS
            assert values == pytest.approx(found[stream], rel=1e-4)


def test_another_clips_sound_matters_only_to_a_picture_that_hears(tmp_path: Path) -> None:
    model = held_out(tmp_path)
    own, other = model.losses("A2V")["video"], model.losses("A2V", other_sound=True)["video"]
    assert min(abs(a - b) for a, b in zip(own, other, strict=True)) > 1e-4
    assert model.losses("A2V", APART) == model.losses("A2V", APART, other_sound=True)
    assert model.motion(APART, steps=2) == model.motion(APART, steps=2, other_sound=True)
    assert model.motion(steps=2) != model.motion(steps=2, other_sound=True)


def test_sync_guidance_moves_what_hears_and_nothing_else(tmp_path: Path) -> None:
    model = held_out(tmp_path)
    assert model.motion(steps=2, sync=1.0) != model.motion(steps=2)
    assert model.motion(APART, steps=2, sync=1.0) == model.motion(APART, steps=2)


def test_motion_agreement() -> None:
    true = torch.zeros(1, 2, 6, 4, 4)
    places = [(0, 1), (1, 1), (2, 1), (3, 1)]
    for y, x in places:
        true[0, :, :, y, x] = torch.randn(2, 6)
    elsewhere = torch.randn(1, 2, 6, 4, 4)
    elsewhere[:, :, :, :, 1] = 0
    constant = torch.randn(1, 2, 1, 4, 4)
    assert motion_agreement(true + constant + elsewhere, true).item() == pytest.approx(1, abs=1e-5)
    assert motion_agreement(-0.1 * true, true).item() == pytest.approx(-1, abs=1e-5)
    assert motion_agreement(elsewhere, true).item() == pytest.approx(0, abs=1e-5)


def test_one_clip_is_too_few(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    held_out(tmp_path / "more")
    with pytest.raises(ValueError, match="1 held-out clips with pictures"):
        HeldOut(checkpoint.load(tmp_path / "more" / "model.safetensors"), store, CLIPS)
