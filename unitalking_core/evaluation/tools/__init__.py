"""Instruments that nobody here wrote, one a file: a recording in, a reading (plain JSON) out. Nothing here touches the network.

Packages come with `pip install -e ".[evaluate]"`. Three things cannot live in that environment and stand in a folder of their own,
`Place.folder` (made by `python -m scripts.evaluation_environment`, or by hand):

    faces/          a virtual environment with mediapipe 0.10.21, which needs numpy < 2
    node_modules/   rhubarb-lip-sync-wasm, run by Node
    whisper/        the recogniser's model, joined here from its two packages when it is first needed
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from ..recordings import Recording

EXTRA = "pip install -e '.[evaluate]' in this pack's folder"
SCRIPT = "python -m scripts.evaluation_environment"
Reader = Callable[[Recording], Any]


class ReadingFailed(Exception):
    """This recording gives no reading, for example because no face was found; the message says why."""


class ToolMissing(Exception):
    """A tool is not installed; the message names it and how to get it."""


@dataclass(frozen=True)
class Place:
    """Where what pip cannot bring into one environment lives."""

    folder: Path


class Tool(Protocol):
    """One instrument. It can be sent to another process; what it needs is loaded by `open`."""

    @property
    def name(self) -> str: ...

    @property
    def senses(self) -> tuple[str, ...]:
        """What of a recording the reading depends on: "frames", "waveform", "words"."""
        ...

    def missing(self) -> str | None:
        """What is not installed and how to get it; None when all is there. Quick: nothing is loaded."""
        ...

    def version(self) -> str: ...

    def open(self) -> Reader:
        """Load it. The reader raises ReadingFailed for a recording that gives no reading."""
        ...


def packages_missing(*packages: str) -> str | None:
    """A sentence for those of the distributions that are not installed, or None."""
    absent = [name for name in packages if installed(name) is None]
    return f"package {', '.join(absent)} missing, {EXTRA}" if absent else None


def installed(package: str) -> str | None:
    """The version of a distribution, None when it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
