"""Mouths and sounds as curves over a clip's frames, and how two of them fit.

Notation: a curve is float64 (F,), one value a frame; frame i shows the moment i / fps. A lag is in frames, positive when the picture is
late against the sound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]

SMOOTHING_SECONDS = 0.11
GRID_HZ = 500
FURTHEST_LAG = 8
CUE_OPENINGS = {"A": 0.0, "B": 0.2, "C": 0.55, "D": 1.0, "E": 0.6, "F": 0.25, "G": 0.1, "H": 0.45, "X": 0.0}
"""Rhubarb's mouth shapes (A closed, B teeth together, C open, D wide, E rounded, F puckered, G teeth on lip, H tongue up, X at rest)."""


def correlation(a: Curve, b: Curve) -> float | None:
    """Pearson's, None where a curve does not move or is shorter than three frames."""
    if len(a) < 3 or a.std() < 1e-9 or b.std() < 1e-9:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def correlations_by_lag(picture: Curve, sound: Curve, furthest: int = FURTHEST_LAG) -> dict[int, float]:
    """Lag in frames -> correlation of picture[i + lag] with sound[i] over the frames that both have. Both (F,)."""
    frames = len(picture)
    found = {}
    for lag in range(-furthest, furthest + 1):
        first, last = max(0, lag), frames + min(0, lag)
        value = correlation(picture[first:last], sound[first - lag : last - lag])
        if value is not None:
            found[lag] = value
    return found


def best_lag(picture: Curve, sound: Curve, furthest: int = FURTHEST_LAG) -> int | None:
    """The lag at which they fit best, the smallest of equal ones; None where a curve does not move."""
    found = correlations_by_lag(picture, sound, furthest)
    return min(found, key=lambda lag: (-round(found[lag], 9), abs(lag)), default=None)


def opening_of_cues(cues: Sequence[tuple[float, str]], frames: int, fps: float) -> Curve:
    """Mouth shapes (start second, Rhubarb's letter), each until the next one -> opening in 0..1, smoothed as lips are slow. (F,)."""
    pad = 0.5
    times = np.arange(round((frames / fps + 2 * pad) * GRID_HZ)) / GRID_HZ - pad
    opening = np.zeros(len(times))
    for start, letter in sorted(cues):
        opening[times >= start] = CUE_OPENINGS[letter]
    return _at_frames(opening, pad, frames, fps)


def envelope(waveform: NDArray[np.float32], sample_rate: int, frames: int, fps: float) -> Curve:
    """Loudness (root mean square) of a waveform (N,) around each frame's moment, over as long as the cues are smoothed. (F,)."""
    pad = 0.5
    count = round((frames / fps + 2 * pad) * GRID_HZ)
    edges = np.round(((np.arange(count + 1) - 0.5) / GRID_HZ - pad) * sample_rate).astype(int)
    energy = np.concatenate([[0.0], np.cumsum(waveform.astype(np.float64) ** 2)])[np.clip(edges, 0, len(waveform))]
    return np.sqrt(_at_frames(np.diff(energy) * GRID_HZ / sample_rate, pad, frames, fps).clip(min=0))


def _at_frames(fine: Curve, pad: float, frames: int, fps: float) -> Curve:
    """A curve at GRID_HZ that begins `pad` seconds early -> smoothed, at the moments of the frames."""
    window = np.hanning(round(SMOOTHING_SECONDS * GRID_HZ) + 2)
    smooth = np.convolve(fine, window / window.sum(), "same")
    return smooth[np.round((np.arange(frames) / fps + pad) * GRID_HZ).astype(int)]


def opening_range(opening: Curve) -> tuple[float, float]:
    """How far the mouth is shut and open in this clip: the 5th and 95th percentile."""
    low, high = np.percentile(opening, [5, 95])
    return float(low), float(high)
