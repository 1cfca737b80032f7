"""What is told of a run while it goes on: `losses.jsonl`, one line for every so many steps, and TensorBoard where it is wanted.

A run that is resumed tells on as if nothing had happened: lines of steps that will be made again are cut off, and what was counted
since the last line is kept with the saved state.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..config import ConfigError
from .batches import Batch
from .objective import Losses


class Journal:
    """Means, since the last line, of the losses by task and stream, of the learning rate and of the gradient's norm before clipping."""

    def __init__(
        self, folder: Path, total: int, pending: Mapping[str, Any] | None = None, *, tensorboard: bool = False, writes: bool = True
    ) -> None:
        """Go on in `folder` after `total` steps with what `pending` gave then. Of several processes one `writes`.

        Raises ConfigError when TensorBoard is wanted and not installed.
        """
        self.path, self.writes = folder / "losses.jsonl", writes
        self.board = _open_tensorboard(folder / "tensorboard", total) if tensorboard and writes else None
        if writes:
            folder.mkdir(parents=True, exist_ok=True)
            _cut_back(self.path, total)
        kept = pending or {"sums": {}, "counts": {}, "steps": 0, "seconds": 0.0}
        self.sums: dict[str, float] = dict(kept["sums"])
        self.counts: dict[str, int] = dict(kept["counts"])
        self.unsettled: list[tuple[str, tuple[str, ...], Tensor]] = []
        self.steps, self.since = kept["steps"], time.monotonic() - kept["seconds"]

    def pending(self) -> dict[str, Any]:
        """What the next line will tell so far, for the saved state."""
        self._settle()
        return {"sums": self.sums, "counts": self.counts, "steps": self.steps, "seconds": time.monotonic() - self.since}

    def add(self, parts: Sequence[Batch], losses: Sequence[Losses], rate: float, norm: Tensor) -> None:
        """Count one step: its batches with their losses, the learning rate and the gradient's norm.

        Numbers are asked of the device when they are told, not before: asking makes it wait.
        """
        for batch, loss in zip(parts, losses, strict=True):
            rows = (("video", loss.video), ("audio", loss.audio), ("likeness", loss.likeness))
            self.unsettled += [(stream, batch.tasks, found) for stream, found in rows if found is not None]
        self.unsettled.append(("gradient_norm", (), norm.detach()))
        self._count("learning_rate", rate)
        self.steps += 1

    def _settle(self) -> None:
        for name, tasks, found in self.unsettled:
            if not tasks:
                self._count(name, found.item())
                continue
            for task, value in zip(tasks, found.tolist(), strict=True):
                if value:
                    self._count(f"{task}.{name}", value)
        self.unsettled = []

    def flush(self, stage: str, total: int) -> str:
        """Write the line that ends with step `total`; returns it in words."""
        self._settle()
        means = {name: self.sums[name] / self.counts[name] for name in sorted(self.sums)}
        seconds = (time.monotonic() - self.since) / self.steps
        if self.writes:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"stage": stage, "total": total, "seconds_per_step": seconds, **means}) + "\n")
        if self.board is not None:
            for name, value in {**means, "seconds_per_step": seconds}.items():
                self.board.add_scalar(f"loss/{name.replace('.', '/')}" if "." in name else f"run/{name}", value, total)
            self.board.flush()
        self.sums, self.counts, self.steps, self.since = {}, {}, 0, time.monotonic()
        return f"{seconds:.2f} s/step " + " ".join(f"{name} {value:.3f}" for name, value in means.items() if "." in name)

    def _count(self, name: str, value: float) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + value
        self.counts[name] = self.counts.get(name, 0) + 1


def _cut_back(path: Path, total: int) -> None:
    """Leave the lines up to step `total`, and not half a line of a run that was killed while it wrote."""
    if not path.is_file():
        return
    kept = 0
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n") or json.loads(line)["total"] > total:
            break
        kept += len(line)
    with path.open("r+b") as file:
        file.truncate(kept)


def _open_tensorboard(folder: Path, total: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError("tensorboard is not installed: `pip install tensorboard` brings it, or set 'tensorboard' to false") from error
    return SummaryWriter(str(folder), purge_step=total + 1)
