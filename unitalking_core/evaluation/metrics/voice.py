"""Is it the reference's voice? Its similarity by an outside speaker encoder, and whether the speaker can be picked out of others by it.

A speaker is enrolled as the mean of the reference recordings of that speaker other than the one that the clip was given.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...tasks import Condition, Task
from ..recordings import Recording
from ..tools import Tool
from . import Case, Column, Columns, Figure, Read, Test, both, makes_sound

Vector = NDArray[np.float64]
CANDIDATES = 10


def cosine(a: Vector, b: Vector) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def candidates(speaker: str, pool: Sequence[str], count: int, seed: str) -> list[str]:
    """The speaker and `count` - 1 others of the pool, or as many as there are; the same for the same seed."""
    others = sorted(set(pool) - {speaker})
    return [speaker, *random.Random(seed).sample(others, min(count - 1, len(others)))]


def is_picked(heard: Vector, speaker: str, enrolled: Mapping[str, Vector]) -> float:
    """1 when the voice heard is nearest to the speaker's among the enrolled ones, else 0."""
    return float(max(enrolled, key=lambda name: cosine(heard, enrolled[name])) == speaker)


@dataclass(frozen=True)
class VoiceLikeness:
    encoder: Tool

    figures = (
        Figure("speaker_similarity", "cosine", "higher", "to the reference recording; floor: to another speaker's"),
        Figure("speaker_similarity_unseen", "cosine", "higher", "the same, clips of speakers that training never heard"),
        Figure(
            "voice_top1_of_10", "share", "higher",
            "clips of unseen speakers: the reference's speaker is the nearest of 10 unseen ones (or of all unseen ones where there are "
            "fewer: unseen_speakers_enrolled in the test's counts); floor: another speaker's clip",
        ),
        Figure("voice_top1_of_all", "share", "higher", "the same among all speakers of the corpus"),
    )  # fmt: skip

    @property
    def needs(self) -> tuple[Tool, ...]:
        return (self.encoder,)

    def applies(self, task: Task) -> bool:
        return makes_sound(task) and Condition.VOICE in task.conditions | task.optional

    def measure(self, test: Test, read: Read) -> dict[str, Columns]:
        ceiling, model = both(read, self.encoder, test)
        files = [voice for voices in test.voices.values() for voice in voices]
        known = {voice.path: _vector(v) for voice, v in zip(files, read(self.encoder, files), strict=True)}
        strangers = [_stranger(test.cases, i) for i in range(len(test.cases))]

        def likeness(heard: list, references: Sequence[Recording | None]) -> list[float | None]:
            pairs = zip((_vector(h) for h in heard), references, strict=True)
            return [None if h is None or r is None or (v := known.get(r.path)) is None else cosine(h, v) for h, r in pairs]

        def picked(heard: list, pool: Sequence[str], count: int) -> list[float | None]:
            found: list[float | None] = []
            for case, reading in zip(test.cases, heard, strict=True):
                names = candidates(case.speaker, pool, count, case.id)
                enrolled = {name: v for name in names if (v := _enrol(test.voices.get(name, ()), case.voice, known)) is not None}
                vector = _vector(reading)
                judged = vector is not None and case.speaker in test.unseen and case.speaker in enrolled and len(enrolled) > 1
                found.append(is_picked(vector, case.speaker, enrolled) if judged and vector is not None else None)
            return found

        own = [case.voice for case in test.cases]
        foreign = [None if s is None else test.cases[s].voice for s in strangers]
        swapped = [None if s is None else model[s] for s in strangers]
        rows = {
            "speaker_similarity": [likeness(ceiling, own), likeness(model, own), likeness(model, foreign)],
            "voice_top1_of_10": [picked(heard, sorted(test.unseen), CANDIDATES) for heard in (ceiling, model, swapped)],
            "voice_top1_of_all": [picked(heard, sorted(test.voices), len(test.voices)) for heard in (ceiling, model, swapped)],
        }
        new = [case.speaker in test.unseen for case in test.cases]
        rows["speaker_similarity_unseen"] = [
            [v if unseen else None for v, unseen in zip(values, new, strict=True)] for values in rows["speaker_similarity"]
        ]
        return {name: Columns(*(Column(values) for values in columns)) for name, columns in rows.items()}


def _vector(reading: list[float] | None) -> Vector | None:
    return None if reading is None else np.array(reading)


def _stranger(cases: Sequence[Case], index: int) -> int | None:
    """The next clip by another speaker."""
    order = [(index + k) % len(cases) for k in range(1, len(cases))]
    return next((i for i in order if cases[i].speaker != cases[index].speaker), None)


def _enrol(voices: Sequence[Recording], reference: Recording, known: Mapping) -> Vector | None:
    vectors = [v for voice in voices if voice.path != reference.path and (v := known[voice.path]) is not None]
    return np.mean(vectors, axis=0) if vectors else None
