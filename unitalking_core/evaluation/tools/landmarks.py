"""Where the lips are, by MediaPipe's FaceMesh (Apache-2.0), run by a Python of its own (mediapipe 0.10.21 needs numpy < 2).

Reading: {"opening": [per frame: distance of the inner lips / distance of the eyes, null without a face], "mouth": [per frame: left, top,
right, bottom of the lips as shares of the picture, or null]}.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ..pinned import MEDIAPIPE
from . import SCRIPT, Place, Reader, ReadingFailed, Recording
from .process import LineProcess

LEAST_FOUND = 0.8
"""Share of frames in which a face must have been found."""


@dataclass(frozen=True)
class Landmarks:
    place: Place
    name = "mediapipe"
    senses = ("frames",)

    @property
    def _python(self) -> Path:
        return self.place.folder / "faces" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def missing(self) -> str | None:
        if self._python.exists():
            return None
        return f"package mediapipe=={MEDIAPIPE} missing in an environment of its own, {self._python.parent.parent}; {SCRIPT} makes it"

    def version(self) -> str:
        code = "import importlib.metadata as m; print(m.version('mediapipe'))"
        done = subprocess.run([str(self._python), "-c", code], capture_output=True, text=True)
        return f"{done.stdout.strip() or 'unknown'} FaceMesh"

    def open(self) -> Reader:
        worker = Path(__file__).with_name("landmarks_worker.py")
        process = LineProcess([str(self._python), str(worker)], {**os.environ, "GLOG_minloglevel": "3", "TF_CPP_MIN_LOG_LEVEL": "3"})

        def read(recording: Recording) -> dict:
            answer = process.ask(str(recording.path))
            found = sum(value is not None for value in answer["opening"]) / len(answer["opening"])
            if found < LEAST_FOUND:
                raise ReadingFailed(f"a face was found in only {found:.0%} of the frames")
            return answer

        return read
