"""Is it the portrait's face? Whether the portrait is the nearest of ten to the clip's later frames, by an outside face encoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...tasks import Task
from ..tools import Tool
from . import Column, Columns, Figure, Read, Test, both, makes_picture, other

CANDIDATES = 10


@dataclass(frozen=True)
class SameFace:
    encoder: Tool

    figures = (
        Figure(
            "face_top1_of_10", "share", "higher", "the portrait is the nearest of 10 held-out ones to later frames; floor: another clip's"
        ),
        Figure("face_distance", "descriptor distance", "lower", "of later frames to the portrait; floor: another clip's"),
    )

    @property
    def needs(self) -> tuple[Tool, ...]:
        return (self.encoder,)

    def applies(self, task: Task) -> bool:
        return makes_picture(task)

    def measure(self, test: Test, read: Read) -> dict[str, Columns]:
        portraits = [None if r is None else np.array(r["first"]) for r in read(self.encoder, [case.truth for case in test.cases])]
        ceiling, model = ([None if r is None else np.array(r["later"]) for r in rs] for rs in both(read, self.encoder, test))
        count = len(portraits)
        partners = [other(i, count) for i in range(count)]
        swapped = [None if p is None else model[p] for p in partners]
        picks, distances = [], []
        for seen in (ceiling, model, swapped):
            rows = [_distances(seen[i], portraits, i) for i in range(count)]
            distances.append(Column([None if row is None else row[0] for row in rows]))
            picks.append(Column([None if row is None or len(row) < 2 else float(np.argmin(row) == 0) for row in rows]))
        return {"face_top1_of_10": Columns(*picks), "face_distance": Columns(*distances)}


def _distances(face: np.ndarray | None, portraits: list[np.ndarray | None], index: int) -> list[float] | None:
    """To the clip's own portrait first, then to those of the next clips, nine where there are so many."""
    if face is None or portraits[index] is None:
        return None
    order = [portraits[(index + k) % len(portraits)] for k in range(len(portraits))]
    return [float(np.linalg.norm(face - portrait)) for portrait in order if portrait is not None][:CANDIDATES]
