"""How far a stage is: a bar on a terminal (with tqdm, if it is installed), otherwise plain lines in the log."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from typing import Protocol

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Told of every step, with a note where there is one. Close it when the stage stops."""

    def advance(self, note: str | None) -> None: ...
    def close(self) -> None: ...


def open_progress(name: str, done: int, steps: int, *, shown: bool = True) -> Progress:
    """Progress of the stage `name`, of whose `steps` so many are `done`. Not `shown`: no bar, as one of several processes has it."""
    if shown and sys.stderr.isatty():
        try:
            return Bar(name, done, steps)
        except ImportError:
            logger.info("no progress bar: `pip install tqdm` brings it")
    return Lines(name, done, steps)


class Lines:
    """A line in the log for every note."""

    def __init__(self, name: str, done: int, steps: int) -> None:
        self.name, self.done, self.steps = name, done, steps

    def advance(self, note: str | None) -> None:
        self.done += 1
        if note is not None:
            logger.info("%s %d/%d %s", self.name, self.done, self.steps, note)

    def close(self) -> None:
        """Nothing is held."""


class Bar:
    """A bar that carries the last note; what is logged meanwhile appears above it. Raises ImportError without tqdm."""

    def __init__(self, name: str, done: int, steps: int) -> None:
        from tqdm import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        self._open = ExitStack()
        self._open.enter_context(logging_redirect_tqdm())
        self._bar = self._open.enter_context(tqdm(desc=name, initial=done, total=steps, dynamic_ncols=True, unit="step"))

    def advance(self, note: str | None) -> None:
        if note is not None:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update()

    def close(self) -> None:
        self._open.close()
