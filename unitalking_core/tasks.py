"""The table of tasks: what is given, what is generated, and who may see whom. Training, sampling and guidance read it here only.

A mask value of 1 means "generate", 0 means "given"; masks are per video latent (T) and per audio token (La).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor


@dataclass(frozen=True)
class Visibility:
    """Which half of the joint attention crosses over from one stream to the other."""

    video_sees_audio: bool = True
    audio_sees_video: bool = True


JOINT = Visibility()
APART = Visibility(video_sees_audio=False, audio_sees_video=False)
AUDIO_FOLLOWS = Visibility(video_sees_audio=False, audio_sees_video=True)


class Given(Enum):
    """How much of a stream is given, from none of it to all of it; ABSENT streams have no tokens at all."""

    ABSENT = "absent"
    NOTHING = "nothing"
    FIRST_FRAME = "first frame"
    PREFIX = "prefix"
    ALL = "all"


class Condition(Enum):
    TEXT = "text"
    PORTRAIT = "portrait"
    VOICE = "voice"


@dataclass(frozen=True)
class Task:
    """One row of the table. `optional` conditions may be present or not."""

    name: str
    video: Given
    audio: Given
    conditions: frozenset[Condition]
    optional: frozenset[Condition] = frozenset()
    visibility: Visibility = JOINT

    def masks(self, latents: int, tokens: int, *, prefix: tuple[int, int] = (0, 0)) -> tuple[Tensor | None, Tensor | None]:
        """Masks (latents,) and (tokens,), None for an absent stream. `prefix`: given latents and tokens where the row says PREFIX."""
        return _mask(self.video, latents, prefix[0]), _mask(self.audio, tokens, prefix[1])


def _mask(given: Given, length: int, prefix: int) -> Tensor | None:
    if given is Given.ABSENT:
        return None
    known = {Given.NOTHING: 0, Given.FIRST_FRAME: 1, Given.PREFIX: prefix, Given.ALL: length}[given]
    mask = torch.ones(length)
    mask[:known] = 0
    return mask


_TEXT, _PORTRAIT, _VOICE = Condition.TEXT, Condition.PORTRAIT, Condition.VOICE

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("T2AV", Given.NOTHING, Given.NOTHING, frozenset({_TEXT})),
        Task("TI2AV", Given.FIRST_FRAME, Given.NOTHING, frozenset({_TEXT, _PORTRAIT})),
        Task("TR2AV", Given.NOTHING, Given.NOTHING, frozenset({_TEXT, _VOICE})),
        Task("TIR2AV", Given.FIRST_FRAME, Given.NOTHING, frozenset({_TEXT, _PORTRAIT, _VOICE})),
        Task("TV2A", Given.ALL, Given.NOTHING, frozenset({_TEXT}), frozenset({_VOICE}), AUDIO_FOLLOWS),
        Task("A2V", Given.FIRST_FRAME, Given.ALL, frozenset({_TEXT, _PORTRAIT})),
        Task("T2A", Given.ABSENT, Given.NOTHING, frozenset({_TEXT}), frozenset({_VOICE})),
        Task("continuation", Given.PREFIX, Given.PREFIX, frozenset(), frozenset(Condition)),
    )
}


def visibility_of(video_generates: bool, audio_generates: bool) -> Visibility:
    """Visibility of a run by what it generates: a wholly given video must not listen to audio that is still noise."""
    for task in TASKS.values():
        if (task.video is not Given.ALL) == video_generates and (task.audio is not Given.ALL) == audio_generates:
            return task.visibility
    return JOINT


def task_for(*, portrait: bool, voice: bool, text: bool = True) -> Task:
    """The generating task (both streams made) for the conditions at hand. Raises ValueError where the table has none."""
    present = {c for c, here in ((_TEXT, text), (_PORTRAIT, portrait), (_VOICE, voice)) if here}
    for task in TASKS.values():
        if task.conditions == present and task.audio is Given.NOTHING and task.video in (Given.NOTHING, Given.FIRST_FRAME):
            return task
    raise ValueError(f"no task takes exactly these conditions: {', '.join(sorted(c.value for c in present)) or 'none'}")
