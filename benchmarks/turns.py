"""What outside tools see and hear in each part of a long clip; for the benchmarks of long clips and dialogues.

The tools are those of `unitalking evaluate`, so run these benchmarks with the evaluation's Python (`scripts.evaluation_environment`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unitalking_core.evaluation.curves import Curve, correlation, opening_of_cues
from unitalking_core.evaluation.metrics.sync import opening_of
from unitalking_core.evaluation.readings import Readings
from unitalking_core.evaluation.recordings import Recording, write_recording
from unitalking_core.evaluation.tools import Place, Tool
from unitalking_core.evaluation.tools.cues import MouthCues
from unitalking_core.evaluation.tools.face import FaceEncoder
from unitalking_core.evaluation.tools.landmarks import Landmarks
from unitalking_core.long import LongClip


@dataclass(frozen=True)
class Turn:
    """Of one line: mouth openings of who speaks and who listens, and the opening that the sound asks for. Curves (F,)."""

    speaks: Curve | None
    listens: Curve | None
    sound: Curve


def fit(mouth: Curve | None, sound: Curve) -> float | None:
    """The correlation over the frames that both have."""
    frames = min(len(sound), 0 if mouth is None else len(mouth))
    return None if mouth is None else correlation(mouth[:frames], sound[:frames])


class Reader:
    """Reads long clips; `work` keeps what the tools said."""

    def __init__(self, work: Path, tools: Path) -> None:
        self.work, self.readings = work, Readings(work / "readings")
        self.landmarks, self.cues, self.faces = Landmarks(Place(tools)), MouthCues(Place(tools)), FaceEncoder()
        work.mkdir(parents=True, exist_ok=True)

    def turns(self, name: str, talk: LongClip) -> list[Turn]:
        """Line by line; lines of which Rhubarb could make nothing are left out. For one person or two."""
        fps, clip = talk.clips[0].clip.timeline.fps, talk.clips[0]
        pictures = [torch.cat(list(c.frames())).numpy() for c in talk.clips]
        mouths = [opening_of(self._ask(self.landmarks, f"{name}_{who}", frames)) for who, frames in enumerate(pictures)]
        found = []
        for number, (line, (start, stop)) in enumerate(zip(talk.lines, _parts(talk), strict=True)):
            first, last = round(start * fps), round(stop * fps)
            cues = self._ask(self.cues, f"{name}_line{number}", None, _between(clip.waveform, clip.clip.timeline.sample_rate, start, stop))
            listener = mouths[1 - line.speaker] if len(mouths) > 1 else None
            if cues is not None:
                speaks, listens = (None if m is None else m[first:last] for m in (mouths[line.speaker], listener))
                found.append(Turn(speaks, listens, opening_of_cues(cues, last - first, fps)))
        return found

    def faces_apart(self, name: str, talk: LongClip) -> tuple[list[float], list[float]]:
        """Distances of dlib's descriptors: over every border, and from the beginning to the middle and end of every part."""
        fps, frames = talk.clips[0].clip.timeline.fps, torch.cat(list(talk.clips[0].frames())).numpy()
        cuts = [(round(start * fps), round(stop * fps)) for start, stop in _parts(talk)]
        said = [self._ask(self.faces, f"{name}_part{number}", frames[first:last]) for number, (first, last) in enumerate(cuts)]
        borders = [math.dist(a["later"], b["first"]) for a, b in pairwise(said) if a and b]
        return borders, [math.dist(part["first"], part["later"]) for part in said if part]

    def _ask(self, tool: Tool, name: str, frames: NDArray[np.uint8] | None, samples: NDArray[np.int16] | None = None) -> Any:
        path = self.work / f"{name}.safetensors"
        write_recording(path, frames, np.zeros(1, np.int16) if samples is None else samples)
        return self.readings.read(tool, [Recording(path)])[0]


def mean(values: Sequence[float | None]) -> str:
    """Mean and standard error of what is known."""
    known = [value for value in values if value is not None]
    if not known:
        return "nothing to measure"
    error = statistics.stdev(known) / len(known) ** 0.5 if len(known) > 1 else math.nan
    return f"{statistics.mean(known):6.3f} +- {error:.3f} (n = {len(known)})"


def _parts(talk: LongClip) -> list[tuple[float, float]]:
    """Where each line begins and ends, in seconds."""
    return list(pairwise([*talk.starts, talk.clips[0].clip.seconds]))


def _between(waveform: Tensor, rate: int, start: float, stop: float) -> NDArray[np.int16]:
    return (waveform[0, round(start * rate) : round(stop * rate)].clamp(-1, 1) * 32767).round().to(torch.int16).numpy()
