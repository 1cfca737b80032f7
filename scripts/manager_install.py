"""`python -m scripts.manager_install`: ComfyUI's own Manager installs the pack from a git remote on this machine, then the main job runs.

What is installed is what is committed. The Manager gets a base directory without the pack and, in `.host/manager/`, an environment of its
own with all that ComfyUI's holds; it clones, installs the requirements, and finds the nodes after a restart.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from . import console, environment, host
from .comfy_server import ComfyServer, free_port
from .console import Problem, say
from .host_matrix import main_job

MANAGER = "comfyui-manager==4.2.2"
HOME = host.HOME / "manager"
ARGUMENTS = ("--cpu", "--disable-api-nodes", "--enable-manager", "--enable-manager-legacy-ui")
CONFIG = "[default]\nallow_git_url_install = true\nnetwork_mode = offline\n"
"""Lists of other packs are not asked for; installing from an address has to be allowed, as a person does who uses it."""
INSTALL_ROUTE = "/v2/customnode/install/git_url"
INSTALL_SECONDS = 900


@contextmanager
def remote() -> Iterator[str]:
    """Serve what is committed as a git repository; its address."""
    folder = HOME / "remote"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    repository = folder / f"{host.PACK}.git"
    for command in (
        ["clone", "-q", "--bare", "--no-local", str(host.ROOT), str(repository)],
        ["-C", str(repository), "update-server-info"],
    ):
        ran = subprocess.run(["git", *command], capture_output=True, text=True)
        if ran.returncode:
            raise Problem(f"git {command[0]} did not work:\n{ran.stderr.strip()}")
    port = free_port()
    serving = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    server = subprocess.Popen(serving, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}/{repository.name}"
    finally:
        server.terminate()
        server.wait()


def ask(server: ComfyServer, address: str) -> None:
    """Let the Manager install from that address, as its button *Install via Git URL* does."""
    request = urllib.request.Request(server.url + INSTALL_ROUTE, data=address.encode(), headers={"Content-Type": "text/plain"})
    try:
        urllib.request.urlopen(request, timeout=INSTALL_SECONDS).close()
    except urllib.error.HTTPError as error:
        raise Problem(f"the Manager answered {error.code}:\n{server.last_words()}") from error


def own_environment(python: Path) -> Path:
    """A copy of that Python's environment (its files are linked, not copied) with the Manager in it; its Python.

    An environment that only sees another's packages would not do: the Manager may call uv, which would install torch anew there.
    """
    folder = HOME / "venv"
    if not folder.exists():
        shutil.copytree(python.parent.parent, folder, symlinks=True, copy_function=os.link)
    return environment.prepare(folder, [], (MANAGER,))


def fresh_base() -> Path:
    """A base directory with the Manager's settings and no pack in it."""
    base = HOME / "base"
    shutil.rmtree(base, ignore_errors=True)
    host.make_base(base, pack=None)
    config = base / "user" / "__manager" / "config.ini"
    config.parent.mkdir()
    config.write_text(CONFIG)
    return base


def install() -> int:
    """Install, restart, run."""
    place = host.prepare()
    place = replace(place, python=own_environment(place.python), base=fresh_base())
    pack = place.base / "custom_nodes" / host.PACK
    with ComfyServer(place, ARGUMENTS) as server, remote() as address:
        if "JointFlowSampler" in server.client.object_info():
            raise Problem("the nodes are there before the installation")
        ask(server, address)
    if not (pack / "__init__.py").is_file():
        raise Problem(f"the Manager left nothing in {pack.relative_to(host.ROOT)}")
    commit = subprocess.run(["git", "-C", str(pack), "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    say(f"{MANAGER} installed {pack.name} at {commit}")
    with ComfyServer(place, ARGUMENTS) as server:
        reason = main_job(server)
    say(reason or "the main job runs")
    return int(bool(reason))


if __name__ == "__main__":
    console.main(install)
