"""`make check`: what others look for in a node pack, by their own programs, each in an environment of its own in `.host/checkers/`.

comfy-cli says whether the registry would take the pack and whether every workflow fits the nodes of a running server; comfy-test looks for
front-end code that could disturb other packs. A finding ends it with 1. Its second check, for source that a Windows console in an old code
page cannot print, is left out: Python reads source as UTF-8 everywhere, and tables of languages have letters.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import console, environment, host, templates
from .comfy_server import ComfyServer
from .console import Problem, say

CHECKERS = {"comfy-cli": "1.23.0", "comfy-test": "0.4.15"}
PROGRAMS = {"comfy-cli": "comfy", "comfy-test": "comfy-test"}
LOADER = "LoadUniTalkingModel"
VALID = "All validation checks passed"


def program(name: str) -> str:
    """The checker's program; its environment is made first where it is not there yet."""
    folder = host.HOME / "checkers" / f"{name}-{CHECKERS[name]}"
    python = environment.python_of(folder)
    found = python.with_name(PROGRAMS[name] + python.suffix)
    if not found.exists():
        say(f"Getting {name} {CHECKERS[name]} ...")
        pip = [str(python), "-m", "pip", "-q", "--disable-pip-version-check", "install", "--no-compile", f"{name}=={CHECKERS[name]}"]
        for command in ([sys.executable, "-m", "venv", str(folder)], pip):
            ran = subprocess.run(command, capture_output=True, text=True)
            if ran.returncode:
                raise Problem(f"{name} could not be installed:\n{(ran.stdout + ran.stderr).strip()[-500:]}")
    return str(found)


def run(*command: str) -> str:
    """Everything that a checker writes, wherever it writes it."""
    quiet = {**os.environ, "NO_COLOR": "1", "PYTHONUTF8": "1", "COLUMNS": "200"}
    ran = subprocess.run(command, cwd=host.ROOT, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    return ran.stdout


def registry() -> list[str]:
    """Findings of `comfy node validate`, which ends with 0 whatever it found."""
    said = run(program("comfy-cli"), "--skip-prompt", "node", "validate")
    return [] if VALID in said and "Warning" not in said else [f"comfy node validate: {said.strip()}"]


def workflows() -> list[str]:
    """Findings of `comfy workflow validate` on every template and its API twin, against the nodes of a real server."""
    comfy = program("comfy-cli")
    with tempfile.TemporaryDirectory() as folder:
        nodes = Path(folder) / "object_info.json"
        with ComfyServer(host.prepare(), ["--cpu", "--disable-api-nodes"]) as server:
            known = server.client.object_info()
        for path in (host.ROOT / "workflows" / "api").glob("*.json"):
            if path.name.startswith((templates.FULL_SIZE, templates.NAVA)):
                have_its_files(known, json.loads(path.read_text(encoding="utf-8")))
        nodes.write_text(json.dumps(known), encoding="utf-8")
        with ThreadPoolExecutor() as at_once:
            paths = sorted((host.ROOT / "workflows").rglob("*.json"))
            return [finding for finding in at_once.map(lambda path: workflow(comfy, path, nodes), paths) if finding]


def workflow(comfy: str, path: Path, nodes: Path) -> str:
    """What is found in one workflow by the description of all nodes in the file `nodes`, or nothing."""
    options = ["--json", "--skip-prompt", "--where", "local", "workflow", "validate"]
    said = run(comfy, *options, "--workflow", str(path), "--input", str(nodes))
    answer = next((json.loads(line) for line in said.splitlines() if line.startswith("{")), None)
    data = (answer or {}).get("data") or {}
    fits = data.get("valid") and not data["error_count"] and not data["warning_count"]
    return "" if fits else f"comfy workflow validate {path.name}: {said.strip()[-1000:]}"


def have_its_files(known: dict[str, Any], prompt: dict[str, Any]) -> None:
    """Let the description of all nodes be that of a machine on which the model files lie that a template chooses."""
    for node in (node for node in prompt.values() if node["class_type"] == LOADER):
        for group in known[LOADER]["input"].values():
            for name, spec in group.items():
                if name in node["inputs"] and node["inputs"][name] not in spec[1]["options"]:
                    spec[1]["options"].append(node["inputs"][name])


def front_end() -> list[str]:
    """Errors of the part of `comfy-test lint` that reads the front-end code.

    It warns of a style sheet whose text it cannot follow; that one is adopted by shadow roots alone.
    """
    said = run(program("comfy-test"), "lint", "--check", "javascript", ".")
    return [] if "[JAVASCRIPT] PASSED" in said else [f"comfy-test lint: {said.strip()}"]


def check() -> int:
    """All of them; 1 when there was a finding."""
    findings = []
    for checker in (registry, front_end, workflows):
        found = checker()
        say(f"{checker.__name__.replace('_', ' ')}: {len(found) or 'no'} finding{'' if len(found) == 1 else 's'}")
        findings += found
    for finding in findings:
        say(finding)
    return int(bool(findings))


if __name__ == "__main__":
    console.main(check)
