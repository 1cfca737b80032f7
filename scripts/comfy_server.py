"""One running ComfyUI server: started on a free loopback port, watched until it answers, stopped whatever happens."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from .comfy_client import ComfyClient
from .console import Problem
from .host import HOME, Host

START_SECONDS = 300 * float(os.environ.get("PATIENCE", "1"))
"""PATIENCE=4 in the environment waits four times as long, for a machine that is busy with other things."""
STOP_SECONDS = 10
DEVICE_CODE = """
import torch
backends = (torch.cuda, getattr(torch.backends, 'mps', None), getattr(torch, 'xpu', None))
print(any(backend is not None and backend.is_available() for backend in backends))
"""


def free_port() -> int:
    """A loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def has_accelerator(python: Path) -> bool:
    """Whether torch in that Python can use something faster than the CPU."""
    answer = subprocess.run([str(python), "-c", DEVICE_CODE], capture_output=True, text=True)
    return answer.stdout.strip().endswith("True")


class ComfyServer:
    """A server process of `host`, and a `client` for it. Use it as a context, or call start() and stop()."""

    def __init__(self, host: Host, extra_args: Sequence[str] = (), port: int | None = None) -> None:
        self.host = host
        self.extra_args = list(extra_args)
        self.port = port or free_port()
        self.client = ComfyClient(f"127.0.0.1:{self.port}")
        self.log_path = host.base / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the front end is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything that the server has written so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def start(self, waiting: Callable[[], None] = lambda: None) -> ComfyServer:
        """Start and wait until the server answers, calling `waiting` twice a second. Raises Problem with the log's end otherwise."""
        base = self.host.base
        command = [str(self.host.python), "-u", str(self.host.source / "main.py"), "--port", str(self.port)]
        command += ["--base-directory", str(base), "--user-directory", str(base / "user"), "--disable-auto-launch"]
        command += ["--database-url", f"sqlite:///{base / 'user' / 'comfyui.db'}", *self.extra_args]
        # Byte code goes elsewhere: somebody's own ComfyUI folder is only read. All servers share it: compiling takes longer than starting.
        env = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "PYTHONPYCACHEPREFIX": str(HOME / "pycache")}
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=base, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait(waiting)
        except BaseException:
            self.stop()
            raise
        return self

    def _wait(self, waiting: Callable[[], None]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.client.answers():
            if not self.running:
                raise Problem(f"ComfyUI ended while starting. Its last words:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise Problem(f"ComfyUI did not answer within {START_SECONDS} s. Its last words:\n{self.last_words()}")
            waiting()
            time.sleep(0.5)

    def last_words(self, lines: int = 12) -> str:
        """The end of the log, indented."""
        return "\n".join(f"    {line}" for line in self.log.splitlines()[-lines:])

    def stop(self) -> None:
        """End the server process (and only that); does nothing when it is not running."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> ComfyServer:
        return self.start() if self.process is None else self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
