"""What the tests need beside Python: Chromium, Node and playwright-core for the browser, a speech engine and exiftool for the rest.

The system's package manager installs them where this process may use it; otherwise the command is named. Tests of the corpus and of the
mark skip, and say so, without a speech engine or exiftool; the browser tests need theirs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .console import say
from .host import HOME

PLAYWRIGHT = "1.57.0"  # the newest ones ask for a newer Node than Debian 12 has
MODULES = HOME / "node"
OLDEST_NODE = 18
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_CHROMIUMS = ("/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def chromium() -> str | None:
    """The browser: CHROMIUM if that is set, else the first one found."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    return next(filter(None, map(shutil.which, CHROMIUMS)), None) or next((path for path in MAC_CHROMIUMS if Path(path).exists()), None)


def node() -> str | None:
    """A Node that is new enough."""
    path = shutil.which("node")
    if not path:
        return None
    version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.strip()
    return path if version[1:].split(".")[0].isdigit() and int(version[1:].split(".")[0]) >= OLDEST_NODE else None


def missing() -> list[str]:
    """What is not here yet, in words."""
    absent = [name for name, path in (("Chromium", chromium()), (f"Node {OLDEST_NODE} or newer", node())) if not path]
    return absent + ([] if _playwright_version() == PLAYWRIGHT else ["playwright-core"])


def prepare() -> list[str]:
    """Get what is missing; returns what still is for the browser tests, after having said how to get it."""
    wanted = {"chromium": not chromium(), "nodejs": not node(), "npm": not shutil.which("npm")}
    if shutil.which("apt-get"):
        wanted |= {"flite": not shutil.which("flite"), "libimage-exiftool-perl": not shutil.which("exiftool")}
    packages = [name for name, absent in wanted.items() if absent]
    if packages:
        _install_system(packages)
    npm = shutil.which("npm")
    if npm and node() and _playwright_version() != PLAYWRIGHT:
        say(f"Getting playwright-core {PLAYWRIGHT} ...")
        MODULES.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(MODULES), "--no-audit", "--no-fund", "--loglevel=error", f"playwright-core@{PLAYWRIGHT}"]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            say("npm could not get it: " + (ran.stderr.strip().splitlines() or ["no reason given"])[-1])
    return missing()


def _install_system(packages: list[str]) -> None:
    names = " ".join(packages)
    if shutil.which("apt-get"):
        command = f"apt-get install -y --no-install-recommends {names}"
    elif shutil.which("dnf"):
        command = f"dnf install -y {names}"
    elif sys.platform == "darwin":
        command = "brew install node && brew install --cask chromium"
    else:
        say(f"The browser tests need Chromium and Node {OLDEST_NODE} or newer; install them, then run `make test` again.")
        return
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if not (command.startswith("apt-get") and is_root):
        sudo = "" if command.startswith("brew") else "sudo "
        say(f"For all tests install what is missing: {sudo}{command}")
        return
    say(f"Installing {names} ...")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for line in ("apt-get update -qq", command):
        ran = subprocess.run(line.split(), env=environment, capture_output=True, text=True)
        if ran.returncode:
            say(f"`{line}` failed: " + (ran.stderr.strip().splitlines() or ["no reason given"])[-1])


def _playwright_version() -> str:
    try:
        return json.loads((MODULES / "node_modules" / "playwright-core" / "package.json").read_text())["version"]
    except (OSError, ValueError, KeyError):
        return ""
