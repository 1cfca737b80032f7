"""A real ComfyUI server for tests: its own base directory, the pack linked into it, the demo's client to talk to it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts import host
from scripts.comfy_client import Event, Prompt, Run
from scripts.comfy_server import ComfyServer as Server

PROBES = Path(__file__).parent / "probes"


class ComfyServer:
    """A server under test whose files all lie in `base`.

    `pack` is the custom node folder that is linked into it. start() and stop() may be repeated with other arguments.
    """

    def __init__(self, base: Path, pack: Path = host.ROOT) -> None:
        place = host.found()
        if place is None:
            raise FileNotFoundError("ComfyUI is not set up; run `make test` (or set COMFYUI_DIR)")
        host.make_base(base, pack)
        self.base = base
        self._host = replace(place, python=Path(sys.executable), base=base)
        self._server = Server(self._host)

    def start(self, extra_args: Sequence[str] = ("--cpu",), api_nodes: bool = False) -> ComfyServer:
        """Start and wait until it answers. Raises `scripts.console.Problem` with the log's end when it does not.

        Without `api_nodes` it starts sooner, but its pages may neither play nor read what was recorded in them: the host's policy.
        """
        self._server = Server(self._host, [*([] if api_nodes else ["--disable-api-nodes"]), *extra_args])
        self._server.start()
        return self

    def stop(self) -> None:
        """End the server process."""
        self._server.stop()

    @property
    def url(self) -> str:
        """Where the front end is."""
        return self._server.url

    @property
    def running(self) -> bool:
        """Whether the process lives: what a node did wrong must never end it."""
        return self._server.running

    @property
    def log(self) -> str:
        """Everything that the server has written since it was started."""
        return self._server.log

    def queue(self, prompt: Prompt, on_event: Event | None = None) -> Run:
        """Run a workflow in API format to its end: outputs, seconds per node, readable errors per node. See `comfy_client.Run`."""
        return self._server.client.run(prompt, on_event)

    def interrupt(self) -> None:
        """Stop what runs now; may be called from `on_event`."""
        self._server.client.interrupt()

    def upload(self, path: Path, name: str | None = None) -> str:
        """Put a file into the input folder; returns the name that LoadImage and LoadAudio want."""
        return self._server.client.upload(path, name)

    def object_info(self, node: str = "") -> dict[str, Any]:
        """How the server describes one node, or all of them."""
        return self._server.client.object_info(node)

    def post(self, path: str, document: Any) -> Any:
        """POST JSON to any other route."""
        return self._server.client.post(path, document)

    def files(self, run: Run) -> list[Path]:
        """The files a run saved or previewed, saved ones first."""
        return [self.base / file["type"] / file.get("subfolder", "") / file["filename"] for file in run.files()]


def link_probes(server: ComfyServer) -> None:
    """Give a server the test-only probe nodes; before it starts."""
    (server.base / "custom_nodes" / PROBES.name).symlink_to(PROBES, target_is_directory=True)
