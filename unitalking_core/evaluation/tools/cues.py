"""What mouth a sound calls for, by Rhubarb Lip Sync (MIT) compiled to WebAssembly, run by Node. It hears the sound alone, not the words.

Reading: [[start second, letter], ...], Rhubarb's mouth shapes A to H and X.
"""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..pinned import RHUBARB, RHUBARB_PACKAGE
from . import SCRIPT, Place, Reader, Recording
from .process import LineProcess


@dataclass(frozen=True)
class MouthCues:
    place: Place
    name = RHUBARB_PACKAGE
    senses = ("waveform",)

    @property
    def _package(self) -> Path:
        return self.place.folder / "node_modules" / RHUBARB_PACKAGE / "package.json"

    def missing(self) -> str | None:
        if shutil.which("node") is None:
            return "program node missing, install Node 18 or newer (https://nodejs.org, or apt-get install nodejs)"
        if not self._package.is_file():
            return f"npm package {RHUBARB_PACKAGE}@{RHUBARB} missing in {self.place.folder / 'node_modules'}; {SCRIPT} installs it"
        return None

    def version(self) -> str:
        return json.loads(self._package.read_text(encoding="utf-8"))["version"]

    def open(self) -> Reader:
        node = shutil.which("node")
        assert node is not None  # `missing` was asked before
        process = LineProcess([node, str(Path(__file__).with_name("cues.mjs")), str(self._package.parent.resolve())])

        def read(recording: Recording) -> list:
            return process.ask(base64.b64encode(recording.samples().tobytes()).decode())

        return read
