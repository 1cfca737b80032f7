"""Tests of metrics without the heavy packages: readings that are known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unitalking_core.evaluation.metrics import Case, Test
from unitalking_core.evaluation.recordings import Recording
from unitalking_core.evaluation.tools import Reader
from unitalking_core.tasks import TASKS


@dataclass(frozen=True, eq=False)
class KnownReadings:
    """A tool that answers from a table: file name -> reading."""

    name: str
    table: Mapping[str, Any] = field(default_factory=dict)
    senses: tuple[str, ...] = ("waveform",)
    absent: str | None = None

    def missing(self) -> str | None:
        return self.absent

    def version(self) -> str:
        return "1"

    def open(self) -> Reader:
        return lambda recording: self.table[recording.path.name]


def read(tool: KnownReadings, recordings: Sequence[Recording]) -> list[Any]:
    """What `Readings.read` would give."""
    return [tool.table[recording.path.name] for recording in recordings]


def test_of(task: str, words: Sequence[str], speakers: Sequence[str] = (), **values: Any) -> Test:
    """Cases 0, 1, ...: recordings named voice0, truth0, ceiling0, model0, ..."""
    speakers = speakers or ["someone"] * len(words)
    cases = tuple(
        Case(str(i), said, speaker, *(Recording(Path(f"{kind}{i}"), said) for kind in ("voice", "truth", "ceiling", "model")))
        for i, (said, speaker) in enumerate(zip(words, speakers, strict=True))
    )
    base: dict[str, Any] = {"fps": 24.0, "voices": {}, "unseen": frozenset(), "vocabulary": ()}
    return Test(task=TASKS[task], cases=cases, **{**base, **values})


test_of.__test__ = False  # type: ignore[attr-defined]  # not a test itself
