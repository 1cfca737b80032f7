"""A helper program that answers lines: one line of JSON in, one line of JSON out, for as long as its input is open."""

from __future__ import annotations

import json
import subprocess
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from . import ReadingFailed


class LineProcess:
    """Started on construction, ended with this object."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        weakref.finalize(self, _end, self._process)

    def ask(self, question: Any) -> Any:
        """The answer. Raises ReadingFailed where it is {"error": ...}, OSError when the program has ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise OSError(
                f"{' '.join(self._command)} ended with code {self._process.wait()} instead of answering; run it by hand to see why"
            )
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise ReadingFailed(answer["error"])
        return answer


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
