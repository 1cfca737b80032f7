"""How far the mouth moves, and, where the sound was given, whether it moves as the true mouth did."""

from __future__ import annotations

from dataclasses import dataclass

from ...tasks import Given, Task
from ..curves import Curve, correlation, opening_range
from ..tools import Tool
from . import Column, Columns, Figure, Read, Test, both, makes_picture, other
from .sync import opening_of


@dataclass(frozen=True)
class MouthMotion:
    landmarks: Tool

    figures = (
        Figure("mouth_range", "eye distances", "higher", "how far the mouth opens: 95th minus 5th percentile; best near the ceiling's"),
    )

    @property
    def needs(self) -> tuple[Tool, ...]:
        return (self.landmarks,)

    def applies(self, task: Task) -> bool:
        return makes_picture(task)

    def measure(self, test: Test, read: Read) -> dict[str, Columns]:
        ceiling, model = ([_range(opening_of(r)) for r in readings] for readings in both(read, self.landmarks, test))
        return {"mouth_range": Columns(Column(ceiling), Column(model))}


@dataclass(frozen=True)
class MouthLikeTruth:
    """For tasks whose sound is given: the same sound calls for the same mouth."""

    landmarks: Tool

    figures = (
        Figure("mouth_like_truth", "correlation", "higher", "opening against the true clip's; floor: against another true clip's"),
        Figure("mouth_range_ratio", "ratio", "one", "how far the mouth opens, relative to the true clip", "median"),
    )

    @property
    def needs(self) -> tuple[Tool, ...]:
        return (self.landmarks,)

    def applies(self, task: Task) -> bool:
        return makes_picture(task) and task.audio is Given.ALL

    def measure(self, test: Test, read: Read) -> dict[str, Columns]:
        truth = [opening_of(r) for r in read(self.landmarks, [case.truth for case in test.cases])]
        ceiling, model = ([opening_of(r) for r in readings] for readings in both(read, self.landmarks, test))
        partners = [other(i, len(truth)) for i in range(len(truth))]
        swapped = [None if p is None else truth[p] for p in partners]
        return {
            "mouth_like_truth": Columns(*(Column(_alike(a, b)) for a, b in ((ceiling, truth), (model, truth), (model, swapped)))),
            "mouth_range_ratio": Columns(*(Column([_ratio(a, b) for a, b in zip(made, truth, strict=True)]) for made in (ceiling, model))),
        }


def _alike(made: list[Curve | None], truth: list[Curve | None]) -> list[float | None]:
    pairs = zip(made, truth, strict=True)
    return [None if a is None or b is None or len(a) != len(b) else correlation(a, b) for a, b in pairs]


def _range(opening: Curve | None) -> float | None:
    if opening is None:
        return None
    low, high = opening_range(opening)
    return high - low


def _ratio(made: Curve | None, truth: Curve | None) -> float | None:
    a, b = _range(made), _range(truth)
    return None if a is None or not b else a / b
