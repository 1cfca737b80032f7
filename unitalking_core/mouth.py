"""A mouth as the picture alone shows it, and how far sound and picture are apart.

No face detector: the mouth is taken to be what moves most in the lower half of a talking portrait, and its opening is the strongest way
in which that part changes (the first principal component), apart from slow motion of the head; the sound says which end of it is open.
A rough measure, good for a curve under a clip: its correlation with the true opening, sign aside, is 0.77 (median of 60 clips of the
nano corpus). `evaluation` measures with face landmarks.
Notation: F frames of H x W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, avg_pool2d, interpolate

SIDE = 64
WINDOW = (14, 20)
"""Height and width of the mouth's part, of SIDE x SIDE."""
SLOW_SECONDS = 1.0
STILL = 1e-8
LARGEST_OFFSET_SECONDS = 0.4
CERTAIN = 4.2
"""Times 1 / sqrt(F): the correlation of opening and sound level from which an offset is told. Of 2 s pictures with another clip's sound,
one in twenty reaches it (60 clips of the nano corpus)."""


@dataclass(frozen=True)
class Lips:
    """What was measured: `opening` (F,) in [0, 1]; `offset_seconds` > 0: the sound comes late; None where it cannot be told."""

    opening: Tensor
    correlation: float | None = None
    offset_seconds: float | None = None


def shrink(frames: Tensor) -> Tensor:
    """uint8 frames (F, H, W, 3) as the measurement keeps them while a clip is written: grey, float32 (F, SIDE, SIDE)."""
    # One at a time: as floats a chunk of large frames would take much more memory than the clip's own bytes.
    return torch.stack([_small(frame) for frame in frames])


def _small(frame: Tensor) -> Tensor:
    grey = frame.float() @ torch.tensor([0.299, 0.587, 0.114], device=frame.device) / 255
    return interpolate(grey[None, None], (SIDE, SIDE), mode="area")[0, 0].cpu()


def movement(grey: Tensor, fps: float) -> Tensor:
    """(F, SIDE, SIDE) from `shrink` -> how the mouth moves, (F,) with mean 0 and either sign; zeros where nothing does."""
    if len(grey) < 3:
        return torch.zeros(len(grey))
    lower = grey[:, SIDE // 2 :]
    height, width = WINDOW
    score = avg_pool2d(lower.diff(dim=0).square().mean(0)[None, None], WINDOW, 1)[0, 0]
    # The middle is likelier than the rim, where hair and shoulders move.
    column = torch.arange(score.shape[1]) + width / 2 - SIDE / 2
    score = score * torch.exp(-0.5 * (column / (SIDE / 6)) ** 2)
    top, left = divmod(int(score.argmax()), score.shape[1])
    part = lower[:, top : top + height, left : left + width].flatten(1)
    part = part - _slow(part.T, round(SLOW_SECONDS * fps) | 1).T
    if part.square().mean() < STILL:
        return torch.zeros(len(grey))
    u, s, _ = torch.linalg.svd(part - part.mean(0), full_matrices=False)
    return u[:, 0] * s[0]


def level(waveform: Tensor, frames: int) -> Tensor:
    """How loud each frame of a clip sounds: (channels, N) -> (frames,), the square root of the RMS."""
    mono = waveform.float().mean(0)
    edges = torch.linspace(0, mono.shape[-1], frames + 1).round().long()
    parts = [mono[a : max(b, a + 1)] for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]
    return torch.stack([part.square().mean().sqrt().sqrt() if len(part) else torch.tensor(0.0) for part in parts])


def measure(grey: Tensor, waveform: Tensor | None, fps: float) -> Lips:
    """A clip's (F, SIDE, SIDE) from `shrink` and its sound (channels, N), None for a clip without one."""
    curve = movement(grey, fps)
    if not curve.any():
        return Lips(curve)
    if waveform is None or not waveform.shape[-1]:
        # Portraits begin with a mouth at rest.
        return Lips(_unit(curve if curve[0] <= 0 else -curve))
    sound = level(waveform, len(curve))
    most = min(round(LARGEST_OFFSET_SECONDS * fps), len(curve) // 3)
    shifts = range(-most, most + 1)
    found = torch.tensor([_correlation(curve, sound, shift) for shift in shifts])
    best = int(found.abs().argmax())
    correlation = float(found[best].abs())
    certain = correlation >= CERTAIN / math.sqrt(len(curve))
    return Lips(_unit(curve if found[best] >= 0 else -curve), correlation, shifts[best] / fps if certain else None)


def _unit(curve: Tensor) -> Tensor:
    low, high = curve.quantile(0.02), curve.quantile(0.98)
    return ((curve - low) / (high - low).clamp(min=1e-8)).clamp(0, 1)


def _correlation(curve: Tensor, sound: Tensor, shift: int) -> float:
    """Of the curve and the sound `shift` frames later."""
    a, b = (curve[: len(curve) - shift], sound[shift:]) if shift >= 0 else (curve[-shift:], sound[:shift])
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-8))


def _slow(x: Tensor, taps: int) -> Tensor:
    """(N, F): the moving average over `taps` frames."""
    return avg_pool1d(x[None], taps, 1, taps // 2, count_include_pad=False)[0]
