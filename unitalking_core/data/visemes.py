"""From timed phones to mouth shapes: what the drawn lips do while a sentence is heard.

Notation: F frames at `fps`; frame i shows the moment i / fps. A phone is (start seconds, end seconds, ARPAbet symbol without stress).
A mouth shape is three numbers in 0..1: open (jaw and lips apart), width (corners drawn outward), round (lips pursed).

Each phone pulls towards its own shape with a weight: vowels and labial consonants insist, /k/ or /h/ hardly matter and take the shape
of their neighbours. The weighted targets are averaged under a raised-cosine window (dominance-weighted coarticulation, after Cohen
and Massaro 1993). The lips of /p b m/ must really meet, so their closure is a gate applied after the smoothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Phone = tuple[float, float, str]

SMOOTHING_SECONDS = 0.11
CLOSURE_RAMP_SECONDS = 0.035
GRID_HZ = 500
REST = (0.0, 0.35, 0.0, 0.5)
BILABIALS = frozenset({"P", "B", "M"})

# For each symbol: open, width, round, and the weight.
VISEMES: dict[str, tuple[float, float, float, float]] = {
    "AA": (0.95, 0.45, 0.05, 1.0),
    "AE": (0.85, 0.75, 0.0, 1.0),
    "AH": (0.55, 0.45, 0.0, 0.8),
    "AO": (0.80, 0.20, 0.55, 1.0),
    "AW": (0.85, 0.35, 0.35, 1.0),
    "AY": (0.85, 0.60, 0.0, 1.0),
    "EH": (0.65, 0.65, 0.0, 1.0),
    "ER": (0.40, 0.30, 0.45, 0.9),
    "EY": (0.50, 0.80, 0.0, 1.0),
    "IH": (0.40, 0.70, 0.0, 0.9),
    "IY": (0.28, 1.00, 0.0, 1.0),
    "OW": (0.60, 0.10, 0.85, 1.0),
    "OY": (0.65, 0.25, 0.65, 1.0),
    "UH": (0.35, 0.15, 0.75, 0.9),
    "UW": (0.28, 0.00, 1.00, 1.0),
    "P": (0.0, 0.35, 0.0, 1.4),
    "B": (0.0, 0.35, 0.0, 1.4),
    "M": (0.0, 0.35, 0.0, 1.4),
    "F": (0.10, 0.45, 0.0, 1.3),
    "V": (0.10, 0.45, 0.0, 1.3),
    "W": (0.20, 0.00, 1.00, 1.3),
    "R": (0.28, 0.20, 0.60, 0.7),
    "L": (0.38, 0.50, 0.0, 0.5),
    "TH": (0.25, 0.50, 0.0, 0.7),
    "DH": (0.25, 0.50, 0.0, 0.6),
    "S": (0.14, 0.70, 0.0, 0.8),
    "Z": (0.14, 0.70, 0.0, 0.8),
    "SH": (0.22, 0.15, 0.70, 1.0),
    "ZH": (0.22, 0.15, 0.70, 1.0),
    "CH": (0.20, 0.20, 0.65, 1.0),
    "JH": (0.20, 0.20, 0.65, 1.0),
    "T": (0.20, 0.55, 0.0, 0.5),
    "D": (0.20, 0.55, 0.0, 0.5),
    "N": (0.22, 0.55, 0.0, 0.5),
    "K": (0.32, 0.50, 0.0, 0.3),
    "G": (0.32, 0.50, 0.0, 0.3),
    "NG": (0.32, 0.50, 0.0, 0.3),
    "Y": (0.25, 0.85, 0.0, 0.7),
    "HH": (0.40, 0.50, 0.0, 0.15),
    "SIL": REST,
}

# Diphthongs move: second half of the phone.
GLIDES: dict[str, str] = {"AY": "IH", "AW": "UH", "OY": "IH", "EY": "IY", "OW": "UW"}


def mouth_curves(phones: Sequence[Phone], frames: int, fps: float, smoothing_seconds: float = SMOOTHING_SECONDS) -> np.ndarray:
    """Mouth shapes at every frame.

    Returns float32 (F, 3): open, width, round in 0..1. Time outside all phones is rest (closed, relaxed lips).
    Raises ValueError for an unknown phone, or one that ends before it begins.
    """
    pad = 0.5
    count = round((frames / fps + 2 * pad) * GRID_HZ)
    times = np.arange(count) / GRID_HZ - pad
    target = np.tile(np.asarray(REST, np.float64), (count, 1))
    gate = np.ones(count)
    for start, end, symbol in phones:
        if symbol not in VISEMES:
            raise ValueError(f"phone {symbol!r} at {start:.3f} s has no mouth shape; ARPAbet without stress digits is expected")
        if end < start:
            raise ValueError(f"phone {symbol!r} ends ({end:.3f} s) before it begins ({start:.3f} s)")
        inside = (times >= start) & (times < end)
        target[inside] = VISEMES[symbol]
        if symbol in GLIDES:
            target[inside & (times >= 0.5 * (start + end))] = VISEMES[GLIDES[symbol]]
        if symbol in BILABIALS:
            outside = np.maximum(np.maximum(start - times, times - end), 0.0)
            gate = np.minimum(gate, np.clip(outside / CLOSURE_RAMP_SECONDS, 0.0, 1.0))
    window = np.hanning(max(3, round(smoothing_seconds * GRID_HZ)) + 2)
    weight = target[:, 3]
    total = np.convolve(weight, window, "same")
    smooth = np.stack([np.convolve(target[:, axis] * weight, window, "same") / total for axis in range(3)], axis=1)

    centre = np.round((np.arange(frames) / fps + pad) * GRID_HZ).astype(int)
    # A closure shorter than a frame must not fall between two frames: every frame takes the most closed moment of its own share of time.
    reach = max(1, round(GRID_HZ / fps / 2))
    share = np.lib.stride_tricks.sliding_window_view(np.pad(gate, reach, mode="edge"), 2 * reach + 1).min(axis=1)
    shapes = smooth[centre]
    shapes[:, 0] *= share[centre]
    return np.clip(shapes, 0.0, 1.0).astype(np.float32)
