"""Beyond loudness: do the lips meet at /p/, /b/ and /m/?

The phones of the words that were asked for are aligned with the clip's own sound. A bilabial counts as closed when, in some frame from
TOLERANCE before it to TOLERANCE after it, the mouth is open by at most CLOSED of the clip's own range (5th to 95th percentile) above that
range's lower end. A mouth that hardly moves (range below LEAST_RANGE eye distances) closes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...data.visemes import BILABIALS
from ...tasks import Task
from ..curves import Curve, opening_range
from ..tools import Tool
from . import Column, Columns, Figure, Read, Test, both, has_both, other
from .sync import opening_of

TOLERANCE = 0.04
"""Seconds."""
CLOSED = 0.15
LEAST_RANGE = 0.03


def closures(opening: Curve, phones: Sequence[tuple[float, float, str]], fps: float) -> tuple[int, int]:
    """How many bilabials find the lips closed, and how many there are within the clip. Phones are (start second, end second, symbol)."""
    low, high = opening_range(opening)
    limit = low + CLOSED * (high - low)
    closed = count = 0
    for start, end, symbol in phones:
        if symbol not in BILABIALS:
            continue
        near = [o for i, o in enumerate(opening) if start - TOLERANCE <= i / fps <= end + TOLERANCE]
        if near:
            count += 1
            closed += high - low >= LEAST_RANGE and min(near) <= limit
    return closed, count


@dataclass(frozen=True)
class LipClosure:
    landmarks: Tool
    aligner: Tool

    figures = (
        Figure(
            "lips_closed", "share", "higher",
            f"of /p b m/ within {1000 * TOLERANCE:.0f} ms of which the mouth is open by at most {CLOSED:.0%} of the clip's own range; "
            "floor: at the times of another clip's",
        ),
    )  # fmt: skip

    @property
    def needs(self) -> tuple[Tool, ...]:
        return (self.landmarks, self.aligner)

    def applies(self, task: Task) -> bool:
        return has_both(task)

    def measure(self, test: Test, read: Read) -> dict[str, Columns]:
        pictures, sounds = both(read, self.landmarks, test), both(read, self.aligner, test)
        mouths = [[opening_of(r) for r in readings] for readings in pictures]
        partners = [other(i, len(test.cases)) for i in range(len(test.cases))]
        swapped = [None if p is None else sounds[1][p] for p in partners]
        pairs = ((mouths[0], sounds[0]), (mouths[1], sounds[1]), (mouths[1], swapped))
        return {"lips_closed": Columns(*(_column(m, s, test.fps) for m, s in pairs))}


def _column(mouths: list[Curve | None], phones: list, fps: float) -> Column:
    found = [(0, 0) if m is None or p is None else closures(m, p, fps) for m, p in zip(mouths, phones, strict=True)]
    return Column([closed / count if count else None for closed, count in found], [count for _, count in found])
