"""`python -m scripts.evaluation_environment`: what `unitalking evaluate` measures with, in `.host/evaluation`.

    venv/           the pack with its extra `evaluate`, seeing the packages of the host's environment (torch among them)
    faces/          mediapipe, which needs numpy < 2
    node_modules/   rhubarb-lip-sync-wasm

Nothing there is pinned for users; the versions are those that the published figures were measured with.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from unitalking_core.evaluation.pinned import MEDIAPIPE, RHUBARB, RHUBARB_PACKAGE

from . import console, environment, host
from .console import Problem, say

FOLDER = host.HOME / "evaluation"
NEWEST_PYTHON = (3, 12)
"""mediapipe of that version has no wheels for later ones."""


def main() -> int:
    """Make what is missing; prints the command to go on with."""
    place = host.prepare()
    python = environment.prepare(FOLDER / "venv", [], ("pip",), place.python)
    _run([str(python), "-m", "pip", "install", "-q", "-e", f"{host.ROOT}[evaluate]"], "the evaluation packages")
    faces = environment.python_of(FOLDER / "faces")
    if not faces.exists():
        if sys.version_info[:2] > NEWEST_PYTHON:
            raise Problem(f"mediapipe {MEDIAPIPE} needs Python 3.9 to 3.12: run this script with one of them.")
        _run([sys.executable, "-m", "venv", str(FOLDER / "faces")], "an environment for mediapipe")
    _run([str(faces), "-m", "pip", "install", "-q", f"mediapipe=={MEDIAPIPE}", "safetensors"], "mediapipe")
    npm = shutil.which("npm")
    if npm is None:
        say("npm is missing: mouth cues will not be measured. On Debian and Ubuntu: sudo apt install npm")
    else:
        _run(
            [npm, "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", "--loglevel=error", f"{RHUBARB_PACKAGE}@{RHUBARB}"],
            RHUBARB_PACKAGE,
        )
    say(f"Ready: {python} -m unitalking_core evaluate CHECKPOINT --corpus DIR --json OUT")
    return 0


def _run(command: list[str], what: str) -> None:
    say(f"Getting {what} ...")
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise Problem(f"{what} could not be had:\n{(ran.stdout + ran.stderr).strip()[-2000:]}")


if __name__ == "__main__":
    console.main(main)
