"""What is measured, one kind a file: readings of tools in, one value per clip and column out.

Columns: `ceiling` is the true clip through the codecs, `model` what was made, `floor` what was made beside something that belongs to
another clip. A metric says in `applies` for which tasks it means anything: a sound that was given is not judged as if it were made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ...tasks import Given, Task
from ..recordings import Recording
from ..statistics import Statistic
from ..tools import Tool

Read = Callable[[Tool, Sequence[Recording]], list[Any]]
"""Readings of one tool, None where it could make nothing of a recording. Raises ToolMissing."""


@dataclass(frozen=True)
class Figure:
    """One number of the report. `better` says where the good end is: "zero" and "one" are values to be near to."""

    name: str
    unit: str
    better: Literal["higher", "lower", "zero", "one"]
    note: str
    statistic: Statistic = "mean"


@dataclass(frozen=True)
class Column:
    """Values in the order of the test's cases, None where a clip could not be measured; weights as in `statistics.summarise`."""

    values: Sequence[float | None]
    weights: Sequence[float] | None = None


@dataclass(frozen=True)
class Columns:
    """`floor` is None where mismatching means nothing."""

    ceiling: Column
    model: Column
    floor: Column | None = None


@dataclass(frozen=True)
class Case:
    """One held-out clip: the reference voice, the truth, the truth through the codecs, and what the model made."""

    id: str
    words: str
    speaker: str
    voice: Recording
    truth: Recording
    ceiling: Recording
    model: Recording


@dataclass(frozen=True)
class Test:
    """What one task is measured on.

    `voices`: all reference recordings of every speaker. `unseen`: speakers that training never heard. `vocabulary`: the corpus's words.
    """

    task: Task
    cases: tuple[Case, ...]
    fps: float
    voices: Mapping[str, tuple[Recording, ...]]
    unseen: frozenset[str]
    vocabulary: tuple[str, ...]


class Metric(Protocol):
    """One kind of measurement."""

    @property
    def figures(self) -> tuple[Figure, ...]: ...

    @property
    def needs(self) -> tuple[Tool, ...]: ...

    def applies(self, task: Task) -> bool: ...

    def measure(self, test: Test, read: Read) -> dict[str, Columns]:
        """Figure's name -> its columns. Raises ToolMissing."""
        ...


def makes_sound(task: Task) -> bool:
    return task.audio is not Given.ALL


def makes_picture(task: Task) -> bool:
    return task.video not in (Given.ALL, Given.ABSENT)


def has_both(task: Task) -> bool:
    """Picture and sound, of which at least one is made."""
    return task.video is not Given.ABSENT


def both(read: Read, tool: Tool, test: Test) -> tuple[list[Any], list[Any]]:
    """Readings of the ceiling's and of the model's recordings, asked for at once."""
    count = len(test.cases)
    found = read(tool, [c.ceiling for c in test.cases] + [c.model for c in test.cases])
    return found[:count], found[count:]


def other(index: int, count: int, shift: int = 1) -> int | None:
    """The clip that a clip is mismatched with; None where there is only one."""
    return None if count < 2 or shift % count == 0 else (index + shift) % count
