"""A signal that a voice-activity detector takes for speech: a buzz at a gliding pitch, through changing formants, in syllables."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def spoken(seconds: float, rate: int = 16000, level: float = 0.3, pitch: float = 130.0) -> Tensor:
    """(1, N) float32: four syllables a second, each with formants of its own."""
    t = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    phase = 2 * math.pi * (pitch * t + 0.08 * pitch * (1 - torch.cos(2 * math.pi * 0.7 * t)) / (2 * math.pi * 0.7))
    syllable = (t * 4).floor()
    first, second = 350 + 300 * ((syllable * 0.37) % 1), 1000 + 1200 * ((syllable * 0.61) % 1)
    wave = torch.zeros_like(t)
    for harmonic in range(1, int(0.45 * min(rate, 16000) / pitch)):
        frequency = harmonic * pitch
        strength = sum(1 / (1 + ((frequency - formant) / 120) ** 2) for formant in (first, second)) + 0.02
        wave += strength * torch.sin(harmonic * phase)
    wave *= (torch.sin(math.pi * ((t * 4) % 1)) + 0.05).clamp(max=0.8)
    return (level * wave / wave.abs().max())[None].float()
