"""The mouth's opening from the picture alone, and the offset of the sound, on drawn faces whose mouths are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unitalking_core import mouth
from unitalking_core.data.faces import sample_face
from unitalking_core.data.render import render, sample_motion

FPS, FRAMES = 24, 72


def talk(frames: int = FRAMES) -> np.ndarray:
    """Syllables of differing strength: (F,) in 0..1."""
    time = np.arange(frames) / FPS
    return ((0.5 - 0.5 * np.cos(2 * np.pi * 3.1 * time)) * (0.55 + 0.45 * np.sin(2 * np.pi * 0.83 * time + 1))).astype(np.float32)


def spoken(opening: np.ndarray, rate: int = 16000, delay_frames: int = 0) -> torch.Tensor:
    """A tone (1, N) as loud as the mouth is open, some frames later."""
    samples = round(len(opening) * rate / FPS)
    at = np.linspace(0, len(opening) - 1, samples) - delay_frames
    loud = np.interp(at, np.arange(len(opening)), opening**2)
    return torch.from_numpy(loud * np.sin(2 * math.pi * 200 * np.arange(samples) / rate)).float()[None]


def picture(seed: int, opening: np.ndarray) -> torch.Tensor:
    shape = np.stack([opening, np.full_like(opening, 0.4), np.zeros_like(opening)], axis=1)
    return torch.from_numpy(render(sample_face(seed), shape, sample_motion(seed, len(opening), FPS), 96))


@pytest.mark.parametrize("delay", [-4, 0, 3])
@pytest.mark.parametrize("seed", [2, 19])
def test_a_drawn_mouth_is_measured_and_its_sound_is_placed(seed: int, delay: int) -> None:
    opening = talk()
    lips = mouth.measure(mouth.shrink(picture(seed, opening)), spoken(opening, delay_frames=delay), FPS)
    assert np.corrcoef(lips.opening, opening)[0, 1] > 0.8
    assert lips.offset_seconds == pytest.approx(delay / FPS, abs=1.01 / FPS)


def test_a_silent_clip_has_a_curve_and_no_offset() -> None:
    lips = mouth.measure(mouth.shrink(picture(2, talk())), None, FPS)
    assert lips.opening.std() > 0.1
    assert lips.offset_seconds is lips.correlation is None


def test_a_still_picture_has_neither() -> None:
    lips = mouth.measure(mouth.shrink(torch.full((20, 40, 30, 3), 90, dtype=torch.uint8)), torch.randn(1, 16000), FPS)
    assert not lips.opening.any()
    assert lips.offset_seconds is None


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_clips_pass(frames: int) -> None:
    grey = mouth.shrink(torch.randint(0, 255, (frames, 16, 16, 3), dtype=torch.uint8))
    assert mouth.measure(grey, torch.randn(2, 700 * frames), FPS).opening.shape == (frames,)


def test_unrelated_sound_is_rarely_placed() -> None:
    picture_of = mouth.shrink(picture(2, talk()))
    torch.manual_seed(0)
    told = [mouth.measure(picture_of, torch.randn(1, 48000), FPS).offset_seconds is not None for _ in range(20)]
    assert sum(told) <= 2


def test_level_is_the_root_of_the_rms() -> None:
    waveform = torch.cat([torch.full((2, 100), 0.25), torch.full((2, 100), -0.01)], dim=1)
    assert mouth.level(waveform, 2).tolist() == pytest.approx([0.5, 0.1])
