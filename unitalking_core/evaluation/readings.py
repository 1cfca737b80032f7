"""Readings of tools, kept on disk under what was measured: the same sound or picture is never read twice by the same tool."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .recordings import Recording
from .tools import EXTRA, Reader, ReadingFailed, Tool, ToolMissing

LOG = logging.getLogger(__name__)


class Readings:
    """`folder` keeps them, `workers` processes make them. `seconds` counts the time that each tool took."""

    def __init__(self, folder: Path, workers: int = 1) -> None:
        self.folder, self.workers = folder, workers
        self.seconds: dict[str, float] = {}
        self.versions: dict[str, str] = {}
        self._open: dict[Tool, Reader] = {}

    def read(self, tool: Tool, recordings: Sequence[Recording]) -> list[Any | None]:
        """One reading a recording, None where the tool could make nothing of it. Raises ToolMissing."""
        reason = tool.missing()
        if reason is not None:
            raise ToolMissing(reason)
        if tool.name not in self.versions:
            self.versions[tool.name] = tool.version()
        files = [self._file(tool, recording) for recording in recordings]
        todo = {file: recording for file, recording in zip(files, recordings, strict=True) if not file.is_file()}
        if todo:
            (self.folder / tool.name).mkdir(parents=True, exist_ok=True)
            started = time.perf_counter()
            try:
                for count, (file, answer) in enumerate(self._make(tool, list(todo.items())), 1):
                    part = file.with_suffix(".part")
                    part.write_text(json.dumps(answer), encoding="utf-8")
                    part.replace(file)
                    if count % 50 == 0 or count == len(todo):
                        LOG.info("%s: %d of %d", tool.name, count, len(todo))
            except ImportError as error:
                raise ToolMissing(f"{tool.name} is installed but cannot be loaded ({error}), {EXTRA}") from error
            self.seconds[tool.name] = self.seconds.get(tool.name, 0.0) + time.perf_counter() - started
        return [json.loads(file.read_text(encoding="utf-8")).get("reading") for file in files]

    def _file(self, tool: Tool, recording: Recording) -> Path:
        sensed = [recording.words if sense == "words" else recording.digest(sense) for sense in tool.senses]
        digest = hashlib.sha256("\n".join((tool.name, self.versions[tool.name], *sensed)).encode()).hexdigest()
        return self.folder / tool.name / f"{digest[:32]}.json"

    def _make(self, tool: Tool, todo: list[tuple[Path, Recording]]) -> Iterator[tuple[Path, dict[str, Any]]]:
        if self.workers == 1 or len(todo) < 2 * self.workers:
            if tool not in self._open:
                self._open[tool] = tool.open()
            for file, recording in todo:
                yield file, _answer(self._open[tool], recording)
            return
        # Fresh processes: a forked one could inherit a lock held by one of torch's threads.
        with multiprocessing.get_context("spawn").Pool(self.workers, _begin_worker, (tool,)) as pool:
            yield from pool.imap_unordered(_answer_in_worker, todo)


def _answer(reader: Reader, recording: Recording) -> dict[str, Any]:
    try:
        return {"reading": reader(recording)}
    except ReadingFailed as error:
        LOG.warning("%s: %s", recording.path.name, error)
        return {"failed": str(error)}


_tool: Tool | None = None
_reader: Reader | None = None


def _begin_worker(tool: Tool) -> None:
    """Nothing is loaded yet: a worker that fails while it begins would be started again for ever."""
    import torch

    global _tool
    torch.set_num_threads(1)
    _tool = tool


def _answer_in_worker(job: tuple[Path, Recording]) -> tuple[Path, dict[str, Any]]:
    global _reader
    assert _tool is not None  # the worker was given it
    if _reader is None:
        _reader = _tool.open()
    return job[0], _answer(_reader, job[1])
