"""`make test`, `make lint`: the same set-up as the demo's, then pytest (ARGS= goes to it), or ruff and mypy.

Without Chromium or Node the browser tests are skipped and say so; in CI (CI=true) nothing may be missing.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

from . import console, host, test_tools
from .console import Problem, say

TOOLS = (
    "pytest",
    "pytest-xdist",
    "ruff",
    "mypy",
    "pocketsphinx",
    "praat-parselmouth",
    "tensorboard",
    "tqdm",
    "peft",
    "webdataset",
    "diffusers",
    "ftfy",
)
QUICK = "not server and not browser"
LINT = ("ruff check .", "ruff format --check .", "mypy")


def test() -> int:
    """Set up and run all tests; returns pytest's exit code."""
    place = host.prepare(TOOLS)
    absent = test_tools.prepare()
    if absent and os.environ.get("CI"):
        raise Problem(f"missing for the browser tests: {', '.join(absent)}.")
    if absent:
        say(f"Browser tests are skipped, missing: {', '.join(absent)}.")
    cores = min(4, os.cpu_count() or 1)
    if asked := shlex.split(os.environ.get("ARGS", "")):
        return _pytest(place, cores, asked)
    # Without servers first, a process a core; then the rest one by one: pages and servers are slow where they have to share.
    quick = _pytest(place, 1, ["-m", QUICK, "-n", str(cores)])
    return _pytest(place, cores, ["-m", f"not ({QUICK})"]) or quick


def _pytest(place: host.Host, threads: int, arguments: list[str]) -> int:
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    return subprocess.run([str(place.python), "-m", "pytest", *arguments], cwd=host.ROOT, env=environment).returncode


def lint() -> int:
    """Set up and run the checks of style and types; 1 when one of them found something."""
    place = host.prepare(TOOLS)
    codes = []
    for line in LINT:
        say(f"$ {line}")
        codes.append(subprocess.run([str(place.python), "-m", *line.split()], cwd=host.ROOT).returncode)
    return int(any(codes))


if __name__ == "__main__":
    console.main(lint if sys.argv[1:] == ["lint"] else test)
