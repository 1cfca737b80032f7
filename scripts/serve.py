"""`make serve`: ComfyUI with the pack in it, open for play until Ctrl-C. PORT= chooses the port, ARGS= adds arguments of ComfyUI's own."""

from __future__ import annotations

import os
import shlex
import time

from . import console, host
from .comfy_server import ComfyServer, has_accelerator
from .console import Problem, say, status


def serve() -> int:
    """Set up, start, print the address, wait; 1 when the server ends by itself."""
    place = host.prepare()
    arguments = ([] if has_accelerator(place.python) else ["--cpu"]) + shlex.split(os.environ.get("ARGS", ""))
    port = os.environ.get("PORT", "")
    if port and not port.isdigit():
        raise Problem(f"PORT={port} is not a number.")
    server = ComfyServer(place, arguments, port=int(port) if port else None)
    say("Starting ComfyUI ...")
    started = time.monotonic()
    try:
        server.start(waiting=lambda: status(f"  {'.' * (1 + int(2 * (time.monotonic() - started)))}"))
        say(f"ComfyUI is open at {server.url} (Ctrl-C stops it).\nOpen Templates in its menu and choose {host.PACK}.")
        say(f"Its files are in {place.base}, its log is {server.log_path}.")
        while server.running:
            time.sleep(1)
        raise Problem(f"ComfyUI ended by itself. Its last words:\n{server.last_words()}")
    finally:
        server.stop()


if __name__ == "__main__":
    console.main(serve)
