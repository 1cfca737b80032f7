"""The Python environment that ComfyUI, the demo and the tests run in.

Made with `python -m venv` in `.host/venv`. When the person's own ComfyUI (COMFYUI_DIR) brings a Python, a thin overlay
in `.host/overlay` sees that Python's packages and takes only what is missing, so their installation stays as it is.
A stamp remembers what was installed: as long as nothing it depends on changed, pip is not called at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .console import Problem, say, status

DISK_BYTES = 9 * 2**30  # torch with its libraries takes 6.6 GB, downloads come on top
CONSTRAINTS = Path(__file__).with_name("host-constraints.txt")


def python_of(folder: Path) -> Path:
    """The interpreter inside a virtual environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def prepare(folder: Path, requirements: list[Path], tools: tuple[str, ...] = (), parent: Path | None = None) -> Path:
    """Make `folder` an environment holding `requirements` (files) and `tools` (package names); return its Python.

    `parent` is another environment's Python whose packages are to be seen. Raises Problem when something cannot be had.
    """
    base = parent or Path(sys.executable)
    python, stamp = python_of(folder), folder / f"installed-{'-'.join(('host', *tools))}"
    wanted = _fingerprint(base, requirements, tools)
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    if not python.exists():
        say(f"Making a Python environment in {folder.name}/ ...")
        _create(folder, base, parent)
    say("Installing packages (the first time some GB are downloaded) ...")
    names = [argument for file in requirements for argument in ("-r", str(file))] + list(tools)
    _install(python, names, folder.parent / "install.log", pinned=parent is None)
    stamp.write_text(wanted)
    return python


def _fingerprint(base: Path, requirements: list[Path], tools: tuple[str, ...]) -> str:
    digest = hashlib.sha256(f"{base} {tools}".encode())
    for file in (*requirements, CONSTRAINTS):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _can(python: Path, code: str) -> bool:
    return subprocess.run([str(python), "-c", code], capture_output=True).returncode == 0


def _create(folder: Path, base: Path, parent: Path | None) -> None:
    own_pip = _can(base, "import ensurepip, venv")
    if not own_pip and not _can(base, "import pip, venv"):  # Debian's Python comes without ensurepip; its pip can fill in
        minor = ".".join(map(str, sys.version_info[:2])) if parent is None else "3"
        raise Problem(f"{base} cannot make virtual environments.\nOn Debian and Ubuntu: sudo apt install python{minor}-venv")
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    if parent is None and free < DISK_BYTES:
        raise Problem(f"{free / 2**30:.1f} GB are free in {folder.parent}; the environment needs {DISK_BYTES / 2**30:.0f} GB.")
    made = subprocess.run([str(base), "-m", "venv", *([] if own_pip else ["--without-pip"]), str(folder)], capture_output=True, text=True)
    if not made.returncode and not own_pip:
        command = [str(base), "-m", "pip", "--python", str(python_of(folder)), "install", "pip"]
        made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise Problem(f"the environment could not be made:\n{(made.stdout + made.stderr).strip()}")
    if parent is not None:
        code = "import sysconfig; print(sysconfig.get_path('purelib')); print(sysconfig.get_path('platlib'))"
        seen = subprocess.run([str(parent), "-c", code], capture_output=True, text=True, check=True).stdout
        inside = subprocess.run([str(python_of(folder)), "-c", code], capture_output=True, text=True, check=True).stdout
        # A .pth file in the overlay adds the parent's packages after the overlay's own.
        (Path(inside.splitlines()[0]) / "parent.pth").write_text("\n".join(dict.fromkeys(seen.splitlines())) + "\n")


def _install(python: Path, names: list[str], log: Path, pinned: bool) -> None:
    if pinned:
        if _pip(python, ["-c", str(CONSTRAINTS), *names], log):
            return
        text = log.read_text(errors="replace")
        if "No matching distribution" not in text and "ResolutionImpossible" not in text:
            raise Problem(_explain(log))
        say("The tested versions cannot be had for this Python; trying the newest ones instead.")
    if not _pip(python, names, log):
        raise Problem(_explain(log))


def _pip(python: Path, arguments: list[str], log: Path) -> bool:
    # Compiling all of it takes a minute, and only what is imported is ever needed.
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--no-compile", *arguments]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    with log.open("w", encoding="utf-8") as file, subprocess.Popen(command, **pipe) as pip:
        for line in pip.stdout or ():
            file.write(line)
            if line.split(" ")[0].strip() in {"Collecting", "Downloading", "Installing", "Using"}:
                status("  " + line.strip())
    status("")
    return pip.returncode == 0


def _explain(log: Path) -> str:
    text = log.read_text(errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    reason = "\n".join(f"    {line}" for line in lines[-4:])
    if "No space left" in text:
        hint = "The disk is full."
    elif any(sign in text for sign in ("NewConnectionError", "NameResolutionError", "Temporary failure", "timed out")):
        hint = "The package index cannot be reached: check the network (or the proxy), then run the same command again."
    else:
        hint = f"All of pip's output is in {log}"
    return f"pip could not install the packages.\n{reason}\n{hint}"
