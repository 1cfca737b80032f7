"""What the model sees at one step: a pure function of the stage, the seed and the step's number, so that resuming is exact.

Every row has a task of its own. Masks are 1 where the row generates and 0 where it is given, per video latent (B, T) and per audio
token (B, La). Batches whose rows have no video at all (T2A) are drawn apart, because such rows have no video tokens. A batch holds clips
of one length (`buckets`).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..conditions.text import NanoTextEncoder
from ..conditions.voice import fit_voice_tokens
from ..tasks import APART, TASKS, Condition, Given, Task, Visibility
from ..timeline import Timeline
from .buckets import choose_bucket, form_buckets
from .config import Stage
from .corpus import in_training
from .latents import Entry, Latents
from .levels import draw_levels
from .texts import open_texts

SHORTEST_VOICE = 0.5
"""Of the longest reference voice the model takes: training crops lengths from here to the whole."""
PREFIX = (0.1, 0.6)
"""The share of a clip that a continuation is given."""


@dataclass(frozen=True)
class Batch:
    """video (B, C, T, h, w), or None; audio (B, C, La); voice (B, C, Lr), gate (B,). Drawn, latents are float16, to be copied fast.

    text: ids (B, Lt), or rows (B, Lt, text_dim) of a text encoder that does not learn; lengths (B,).
    s (B,) is the noise level of each row; mouth (B, h, w) how much of each cell of the video latent is mouth, 0 where that is not known.
    Noise, of the latents' shapes, is a function of `seed` and of the kind of device; it is drawn where the batch is used (`to`).
    Known without asking a device: `longest`, the most text of a row, and `whole`, whether no row has a part of its sound given.
    """

    tasks: tuple[str, ...]
    video: Tensor | None
    video_mask: Tensor | None
    audio: Tensor
    audio_mask: Tensor
    text: Tensor
    lengths: Tensor
    voice: Tensor
    gate: Tensor
    s: Tensor
    mouth: Tensor | None
    visibility: tuple[Visibility, ...]
    seed: int = 0
    video_noise: Tensor | None = None
    audio_noise: Tensor | None = None
    longest: int = field(init=False)
    whole: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "longest", int(self.lengths.max()))
        object.__setattr__(self, "whole", bool((self.audio_mask == self.audio_mask[:, :1]).all()))

    def pin_memory(self) -> Batch:
        """Tensors where a device can fetch them while it computes."""
        return self.changed(Tensor.pin_memory)

    def to(self, device: torch.device | str) -> Batch:
        """Ready to be learned from on a device, without waiting where the memory is pinned."""
        moved = self.changed(lambda tensor: tensor.to(device, non_blocking=tensor.is_pinned()))
        return moved.changed(lambda tensor: tensor.float() if tensor.dtype == torch.float16 else tensor).noised()

    def noised(self) -> Batch:
        """With its noise, drawn where its latents are unless it is there."""
        if self.audio_noise is not None:
            return self
        generator = torch.Generator(self.audio.device).manual_seed(self.seed)

        def noise(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator, device=like.device)

        return replace(self, video_noise=None if self.video is None else noise(self.video), audio_noise=noise(self.audio))

    def rows(self, numbers: Sequence[int]) -> Batch:
        """These rows alone."""
        index = torch.tensor(numbers, device=self.audio.device)
        parts: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                parts[name] = value[index.to(value.device)]
            elif isinstance(value, tuple):
                parts[name] = tuple(value[number] for number in numbers)
        return replace(self, **parts)

    def changed(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """With another tensor, of the same values, for every one."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                object.__setattr__(other, name, change(value))
        return other


class Batches:
    """Draws batches for one stage from what a store holds for training."""

    def __init__(
        self,
        store: Latents,
        stage: Stage,
        seed: int,
        timeline: Timeline,
        voice_tokens: int,
        encoder: NanoTextEncoder | None,
        clips: int | None = None,
    ) -> None:
        """`encoder` as in `open_texts`; `clips`: how many clips of the store to use, for a run that began before the store grew.

        Raises ValueError without any clip, for a split to repeat that is not there, and as `open_texts`.
        """
        used = store.entries[:clips]
        there = {e.split for e in used if in_training(e.split)}
        if absent := sorted(stage.repeats.keys() - there):
            raise ValueError(
                f"the stage '{stage.name}' repeats {', '.join(absent)}, of which there are no training clips; "
                f"there are {', '.join(sorted(there))}"
            )
        train = [e for e in used if in_training(e.split) for _ in range(stage.repeats.get(e.split, 1))]
        self.clips, self.store, self.stage = len(used), store, stage
        self.in_training = sum(in_training(e.split) for e in used)
        self.key = f"{seed}/{stage.name}"
        self.timeline, self.voice_tokens, self.texts = timeline, voice_tokens, open_texts(encoder, store, train)
        self.speech = form_buckets(train, video=False, batch=stage.batch, key=self.key)
        self.clips_with_video = form_buckets(train, video=True, batch=stage.batch, key=self.key)
        wanted = [TASKS[name] for name, weight in stage.tasks.items() if weight > 0]
        if not self.speech or (not self.clips_with_video and any(task.video is not Given.ABSENT for task in wanted)):
            raise ValueError(f"the store has no training clips for the stage '{stage.name}'")

    def draw(self, step: int) -> Batch:
        """The batch of this step."""
        rng = random.Random(f"{self.key}/{step}")
        generator = torch.Generator().manual_seed(rng.getrandbits(62))
        names, weights = list(self.stage.tasks), list(self.stage.tasks.values())
        first = TASKS[rng.choices(names, weights)[0]]
        bucket = choose_bucket(self.speech if first.video is Given.ABSENT else self.clips_with_video, f"{self.key}/bucket {step}")
        if first.video is Given.ABSENT:
            tasks = [first] * bucket.rows
        else:
            visual = [w if TASKS[n].video is not Given.ABSENT else 0 for n, w in zip(names, weights, strict=True)]
            tasks = [TASKS[n] for n in rng.choices(names, visual, k=bucket.rows)]
        entries = bucket.draw(step)
        audio = torch.stack([self.store.audio(e) for e in entries])
        video = None if tasks[0].video is Given.ABSENT else torch.stack([self.store.video(e) for e in entries])
        masks = [self._masks(task, video, audio, rng) for task in tasks]
        rows = [self._conditions(task, entry, rng) for task, entry in zip(tasks, entries, strict=True)]
        text, lengths = self.texts.batch([row[0] for row in rows])
        return Batch(
            tasks=tuple(task.name for task in tasks),
            video=video,
            video_mask=None if video is None else torch.stack([m for m, _ in masks if m is not None]),
            audio=audio,
            audio_mask=torch.stack([m for _, m in masks if m is not None]),
            text=text,
            lengths=lengths,
            voice=torch.cat([row[1] for row in rows]),
            gate=torch.tensor([row[2] for row in rows]),
            s=draw_levels(self.stage, len(tasks), generator),
            mouth=None if video is None else torch.stack([covered(e.mouth_box, *video.shape[-2:]) for e in entries]),
            visibility=tuple(APART if rng.random() < self.stage.drop_cross else task.visibility for task in tasks),
            seed=rng.getrandbits(62),
        )

    def _masks(self, task: Task, video: Tensor | None, audio: Tensor, rng: random.Random) -> tuple[Tensor | None, Tensor | None]:
        """Masks (T,) and (La,). A prefix is the clip that its latents decode to, with as much sound as that clip has."""
        latents, tokens = 1 if video is None else video.shape[2], audio.shape[2]
        given = max(1, int(rng.uniform(*PREFIX) * latents))
        return task.masks(latents, tokens, prefix=(given, min(tokens, self.timeline.clip_of_latents(given).audio_tokens)))

    def _conditions(self, task: Task, entry: Entry, rng: random.Random) -> tuple[Entry | None, Tensor, float]:
        """Whose text, voice (1, C, Lr) and gate of a row; what the task leaves open is there half of the time."""
        wanted = {c: c in task.conditions or (c in task.optional and rng.random() < 0.5) for c in Condition}
        text = wanted[Condition.TEXT] and rng.random() >= self.stage.drop_text
        voiced = wanted[Condition.VOICE] and rng.random() >= self.stage.drop_voice
        voice = self.store.voice(entry)
        length = min(voice.shape[1], rng.randint(round(SHORTEST_VOICE * self.voice_tokens), self.voice_tokens))
        start = rng.randint(0, voice.shape[1] - length)
        return (
            entry if text else None,
            fit_voice_tokens(voice[None, :, start : start + length], self.voice_tokens),
            float(voiced),
        )


class _Ahead(Dataset):
    """The batches of steps to come, by number."""

    def __init__(self, batches: Batches, first: int, end: int) -> None:
        self.batches, self.first, self.end = batches, first, end

    def __len__(self) -> int:
        return self.end - self.first

    def __getitem__(self, number: int) -> Batch:
        return self.batches.draw(self.first + number)


def draw_ahead(batches: Batches, first: int, end: int, workers: int, *, pinned: bool) -> Iterator[Batch]:
    """Batches `first` to `end` in order; so many processes draw them while others are trained on. They are those of `draw`."""
    yield from DataLoader(_Ahead(batches, first, end), batch_size=None, num_workers=workers, pin_memory=pinned)


def covered(box: tuple[float, float, float, float] | None, height: int, width: int) -> Tensor:
    """(height, width): the part of each cell of a grid over the picture that lies in a box of left, top, right, bottom in 0..1."""
    if box is None:
        return torch.zeros(height, width)
    left, top, right, bottom = box

    def along(first: float, last: float, cells: int) -> Tensor:
        start = torch.arange(cells, dtype=torch.float32)
        return ((start + 1).clamp(max=last * cells) - start.clamp(min=first * cells)).clamp(min=0)

    return along(top, bottom, height)[:, None] * along(left, right, width)[None]
