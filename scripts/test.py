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

TOOLS = ("pytest", "ruff", "mypy", "pocketsphinx", "praat-parselmouth", "tensorboard", "tqdm", "peft", "webdataset", "diffusers", "ftfy")
LINT = ("ruff check .", "ruff format --check .", "mypy")


def test() -> int:
    """Set up and run all tests; returns pytest's exit code."""
    place = host.prepare(TOOLS)
    absent = test_tools.prepare()
    if absent and os.environ.get("CI"):
        raise Problem(f"missing for the browser tests: {', '.join(absent)}.")
    if absent:
        say(f"Browser tests are skipped, missing: {', '.join(absent)}.")
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(min(4, os.cpu_count() or 1)))}
    command = [str(place.python), "-m", "pytest", *shlex.split(os.environ.get("ARGS", ""))]
    return subprocess.run(command, cwd=host.ROOT, env=environment).returncode


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
