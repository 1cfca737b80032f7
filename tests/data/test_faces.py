"""Portraits: the same seed is the same picture at any size; the mouth moves the mouth."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from unitalking_core.data.faces import BEARDS, HAIR_STYLES, describe, sample_face
from unitalking_core.data.portrait import paint_layers
from unitalking_core.data.render import render, sample_motion, still

CLOSED = np.asarray([[0.0, 0.35, 0.0]], np.float32)
OPEN = np.asarray([[1.0, 0.40, 0.0]], np.float32)


def test_a_seed_is_a_face_and_a_picture() -> None:
    assert sample_face(11) == sample_face(11)
    assert sample_face(11) != sample_face(12)
    motion = sample_motion(3, 5, 24.0)
    mouth = np.repeat(OPEN, 5, 0)
    first, again = (render(sample_face(11), mouth, motion, 64) for _ in range(2))
    assert first.shape == (5, 64, 64, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)


@pytest.mark.parametrize("seed", range(4))
def test_size_changes_only_the_resolution(seed: int) -> None:
    face = sample_face(seed)
    small, large = (torch.from_numpy(render(face, OPEN, still(1), size)[0]).permute(2, 0, 1)[None].float() for size in (96, 288))
    assert (torch.nn.functional.avg_pool2d(large, 3) - small).abs().mean() < 4.0


@pytest.mark.parametrize("seed", range(4))
def test_opening_the_mouth_changes_the_mouth_and_little_else(seed: int) -> None:
    face = replace(sample_face(seed), beard="none")
    closed, opened = (render(face, mouth, still(1), 128)[0].astype(float) for mouth in (CLOSED, OPEN))
    change = np.abs(closed - opened).mean(-1)
    axis = (np.arange(128) + 0.5) / 64 - 1
    x, y = (axis[None] - face.x) / face.scale, (axis[:, None] - face.y) / face.scale
    mouth = (np.abs(x) < 0.15) & (y > face.mouth_y - 0.07) & (y < face.mouth_y + 0.16)
    assert change[mouth].mean() > 15 * change[~mouth].mean()
    assert change[np.broadcast_to(y < 0.15, change.shape)].max() == 0


def test_a_blink_changes_the_eyes_alone() -> None:
    face = replace(sample_face(1), glasses="none")
    shut = replace(still(1), blink=np.ones(1, np.float32))
    change = np.abs(render(face, CLOSED, still(1), 96).astype(int) - render(face, CLOSED, shut, 96)).max(-1)[0]
    y = ((np.arange(96) + 0.5) / 48 - 1 - face.y) / face.scale
    assert change[np.abs(y + 0.06) < 0.1].max() > 60
    assert change[np.abs(y + 0.06) > 0.2].max() == 0


def test_the_first_frames_never_blink() -> None:
    assert max(sample_motion(seed, 49, 24.0).blink[:4].max() for seed in range(40)) == 0


@pytest.mark.parametrize(("gender", "style"), [(gender, style) for gender, styles in HAIR_STYLES.items() for style in styles])
def test_every_style_is_drawn_and_described(gender: str, style: str) -> None:
    face = replace(sample_face(4, gender), hair_style=style)
    layers = paint_layers(face, 96)
    assert np.isfinite(layers.front).all()
    assert layers.face[..., 3].max() == pytest.approx(1.0, abs=1e-5)
    assert describe(face, random.Random(0)).startswith(f"a {gender} with ")


@pytest.mark.parametrize("beard", BEARDS[1:])
def test_beards_show(beard: str) -> None:
    face = sample_face(2, "man")
    bare, bearded = (render(replace(face, beard=kind), CLOSED, still(1), 64).astype(int) for kind in ("none", beard))
    assert np.abs(bare - bearded).max() > 10


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="robot"):
        sample_face(1, "robot")
    with pytest.raises(ValueError, match=r"\(F, 3\)"):
        render(sample_face(1), CLOSED, still(2))
    with pytest.raises(ValueError, match="too small"):
        render(sample_face(1), CLOSED, still(1), 8)
