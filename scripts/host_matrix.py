"""`python -m scripts.host_matrix [version ...]`: the main job on older and newer ComfyUIs, one after the other, and a table.

Each release (`releases`; all of them without a name) gets its source in `.host/hosts/` and a base directory of its own; all run in the one
environment of `make test`. ARGS= adds arguments of ComfyUI's own. Ends with 1 when a version that pyproject.toml supports failed.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from dataclasses import replace

from . import console, host
from .comfy_server import ComfyServer
from .console import Problem, duration, say
from .releases import RELEASES

JOB = host.ROOT / "workflows" / "api" / "unitalking_nano_talking_portrait.json"
HOSTS = host.HOME / "hosts"
MARK = b"trainedAlgorithmicMedia"


def attempt(version: str, place: host.Host) -> str:
    """Start that ComfyUI and run the main job; returns an empty text, or what went wrong."""
    base = HOSTS / f"base-{version}"
    host.make_base(base)
    place = replace(place, source=host.fetched(HOSTS / version, RELEASES[version]), base=base)
    try:
        with ComfyServer(place, ["--cpu", *shlex.split(os.environ.get("ARGS", ""))]) as server:
            return main_job(server)
    except Problem as problem:
        return str(problem)


def main_job(server: ComfyServer) -> str:
    """Run it there and look into the file; returns an empty text, or what went wrong."""
    if "JointFlowSampler" not in server.client.object_info():
        words = [line.strip() for line in server.log.splitlines() if "Error" in line]
        return "the nodes are not there: " + (words or ["no reason in the log"])[-1]
    run = server.client.run(json.loads(JOB.read_text(encoding="utf-8")))
    if not run.ok:
        return run.explain()
    return "" if MARK in server.client.view(run.files()[0]) else "the clip is not marked"


def matrix() -> int:
    """Run all of them and write the table."""
    names = sys.argv[1:] or sorted(RELEASES, key=host.numbers)
    unknown = [name for name in names if name not in RELEASES]
    if unknown:
        raise Problem(f"not in scripts/releases.py: {', '.join(unknown)}; there are {', '.join(RELEASES)}")
    place, lowest, failed, lines = host.prepare(), host.lowest_supported(), False, []
    for name in names:
        started = time.monotonic()
        reason = attempt(name, place)
        supported = host.numbers(name) >= lowest
        failed |= supported and bool(reason)
        result = reason.splitlines()[0] if reason else f"runs, {duration(time.monotonic() - started)}"
        lines.append(f"  {name:<10}{'supported' if supported else '':<12}{result}")
        say(lines[-1])
    say("\nComfyUI\n" + "\n".join(lines))
    return int(failed)


if __name__ == "__main__":
    console.main(matrix)
