"""Talking to the person at the terminal: plain lines, a status line that moves, problems that end the run.

On a terminal the last line is redrawn in place; anywhere else (a log, CI) only finished lines are written.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable


class Problem(Exception):
    """Something that cannot be had or done. The text says what, why, and what to do about it; no traceback is shown."""


def say(text: str = "") -> None:
    """Write one finished line."""
    status("")
    print(text, flush=True)


def status(text: str) -> None:
    """Redraw the moving last line with `text`; an empty text wipes it. Silent when not on a terminal."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{text[:width]:<{width}}", end="\r" if not text else "", flush=True)


def bar(done: float, total: float, width: int = 24) -> str:
    """A progress bar of `width` characters for `done` of `total`."""
    filled = round(width * min(1.0, done / total)) if total > 0 else 0
    return f"[{'#' * filled}{'.' * (width - filled)}]"


def duration(seconds: float) -> str:
    """Seconds as people read them: `0.4 s`, `12 s`, `3 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def main(job: Callable[[], int]) -> None:
    """Run `job` and exit with its code. A `Problem` ends with its text and 1; Ctrl-C with 130, a termination with 143, after clean-up."""
    os.environ.setdefault("PYTHONUTF8", "1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        code = job()
    except Problem as problem:
        status("")
        sys.stdout.flush()
        print(f"\nSorry: {problem}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        code = 130
    sys.exit(code)
