"""Jumps that are put into a clip are found where they were put."""

from __future__ import annotations

import math

import pytest
import torch

from unitalking_core.evaluation.seams import pitch_of, seams

FPS, RATE = 24, 16000


def clip(jump: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Four seconds of a slow drift and a 150 Hz voice; with a jump, brighter, louder and higher from two seconds on."""
    frames = torch.linspace(0.4, 0.45, 96).view(-1, 1, 1, 1).expand(-1, 8, 8, 3).clone()
    time = torch.arange(4 * RATE) / RATE
    tone = sum(0.1 / k * torch.sin(2 * math.pi * 150 * k * time) for k in (1, 2, 3))
    if jump:
        frames[48:] += 0.2
        tone[2 * RATE :] = sum(0.3 / k * torch.sin(2 * math.pi * 200 * k * time[2 * RATE :]) for k in (1, 2, 3))
    return frames, tone[None]


@pytest.mark.parametrize("jump", [False, True])
def test_jumps_are_found(jump: bool) -> None:
    frames, tone = clip(jump)
    picture, look, level, pitch = seams(frames, FPS, tone, RATE, [2.0])
    found = [
        picture.borders[0] < min(picture.inside) - 20,
        look.borders[0] < 20,
        level.borders[0] == pytest.approx(9.5, abs=1),
        pitch.borders[0] == pytest.approx(12 * math.log2(200 / 150), abs=0.5),
    ]
    assert found == [jump] * 4
    assert "1 of 1 borders beyond" in picture.line() or not jump


def test_pitch() -> None:
    _, tone = clip(False)
    assert pitch_of(tone[:, :RATE], RATE) == pytest.approx(150, rel=0.02)
    assert pitch_of(tone[:, :100], RATE) is None
