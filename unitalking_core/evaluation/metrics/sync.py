"""Do the lips move with the sound? The measured opening of the mouth against a curve made from the sound alone.

Two curves, each a metric of its own: the mouth shapes that Rhubarb hears, and plain loudness. Shared envelopes (every clip begins and ends
in silence) make even mismatched pairs agree somewhat: read the gain over them, not the correlation alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...tasks import Task
from ..curves import FURTHEST_LAG, Curve, best_lag, correlation, envelope, opening_of_cues
from ..recordings import SAMPLE_RATE
from ..tools import Tool
from . import Case, Column, Columns, Figure, Read, Test, both, has_both, other

PARTNERS = 5
"""With how many other clips' sounds a picture is mismatched; their mean is a clip's value."""
Pair = Callable[[Curve, Curve], float | None]


def opening_of(reading: dict | None) -> Curve | None:
    """A reading of landmarks -> the mouth's opening (F,) in distances of the eyes, frames without a face filled in between."""
    if reading is None:
        return None
    opening = np.array([np.nan if value is None else value for value in reading["opening"]])
    seen = np.flatnonzero(~np.isnan(opening))
    return np.interp(np.arange(len(opening)), seen, opening[seen])


def _figures(name: str, what: str) -> tuple[Figure, ...]:
    return (
        Figure(f"sync_{name}", "correlation", "higher", f"mouth opening against {what}; floor: {PARTNERS} other clips' sound"),
        Figure(f"sync_{name}_gain", "correlation", "higher", "matched minus mismatched, clip by clip, each column against its own clips"),
        Figure(
            f"lag_{name}", "frames", "zero",
            f"where they fit best within {FURTHEST_LAG} frames, positive when the picture is late; floor: another clip's sound", "median",
        ),
        Figure(f"lag_{name}_within_1", "share", "higher", "clips whose best lag is at most one frame"),
    )  # fmt: skip


class _Sync:
    """What both metrics share; `_curves` makes the sounds' curves."""

    name: str
    landmarks: Tool
    figures: tuple[Figure, ...]

    def applies(self, task: Task) -> bool:
        return has_both(task)

    def _curves(self, cases: Sequence[Case], column: str, read: Read, frames: Sequence[int], fps: float) -> list[Curve | None]:
        raise NotImplementedError

    def measure(self, test: Test, read: Read) -> dict[str, Columns]:
        pictures = dict(zip(("ceiling", "model"), both(read, self.landmarks, test), strict=True))
        matched, apart, lags, lost = {}, {}, {}, {}
        for column, readings in pictures.items():
            mouths = [opening_of(r) for r in readings]
            sounds = self._curves(test.cases, column, read, [0 if m is None else len(m) for m in mouths], test.fps)
            matched[column] = _pairs(mouths, sounds, correlation, (0,))
            apart[column] = _pairs(mouths, sounds, correlation, range(1, PARTNERS + 1))
            lags[column] = _pairs(mouths, sounds, best_lag, (0,))
            lost[column] = _pairs(mouths, sounds, best_lag, (1,))
        gain = {c: [None if a is None or b is None else a - b for a, b in zip(matched[c], apart[c], strict=True)] for c in pictures}
        rows = {
            f"sync_{self.name}": (matched["ceiling"], matched["model"], apart["model"]),
            f"sync_{self.name}_gain": (gain["ceiling"], gain["model"]),
            f"lag_{self.name}": (lags["ceiling"], lags["model"], lost["model"]),
            f"lag_{self.name}_within_1": tuple(
                [None if lag is None else float(abs(lag) <= 1) for lag in row] for row in (lags["ceiling"], lags["model"], lost["model"])
            ),
        }
        return {name: Columns(*(Column(values) for values in columns)) for name, columns in rows.items()}


@dataclass(frozen=True)
class SyncWithCues(_Sync):
    landmarks: Tool
    cues: Tool
    name = "cues"
    figures = _figures("cues", "the mouth shapes that Rhubarb hears in the sound")

    @property
    def needs(self) -> tuple[Tool, ...]:
        return (self.landmarks, self.cues)

    def _curves(self, cases: Sequence[Case], column: str, read: Read, frames: Sequence[int], fps: float) -> list[Curve | None]:
        readings = read(self.cues, [getattr(case, column) for case in cases])
        return [
            None if cues is None or not count else opening_of_cues(cues, count, fps) for cues, count in zip(readings, frames, strict=True)
        ]


@dataclass(frozen=True)
class SyncWithEnergy(_Sync):
    landmarks: Tool
    name = "energy"
    figures = _figures("energy", "loudness")

    @property
    def needs(self) -> tuple[Tool, ...]:
        return (self.landmarks,)

    def _curves(self, cases: Sequence[Case], column: str, read: Read, frames: Sequence[int], fps: float) -> list[Curve | None]:
        sounds = (getattr(case, column).waveform() for case in cases)
        return [envelope(sound, SAMPLE_RATE, count, fps) if count else None for sound, count in zip(sounds, frames, strict=True)]


def _pairs(
    mouths: Sequence[Curve | None], sounds: Sequence[Curve | None], compare: Pair | Any, shifts: Sequence[int]
) -> list[float | None]:
    """For every clip the mean of comparing its mouth with the sounds so many clips further on; 0 is its own."""
    found: list[float | None] = []
    for i, mouth in enumerate(mouths):
        partners = [i if shift == 0 else other(i, len(mouths), shift) for shift in shifts]
        values = []
        for partner in partners:
            sound = None if partner is None else sounds[partner]
            if mouth is not None and sound is not None and len(sound) == len(mouth):
                values.append(compare(mouth, sound))
        kept = [value for value in values if value is not None]
        found.append(float(np.mean(kept)) if kept else None)
    return found
