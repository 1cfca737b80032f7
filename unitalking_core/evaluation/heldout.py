"""What a model knows of clips it never saw, measured on latents alone: no codec, no outside tool, the same noise for every model.

The velocity loss says how well a stream is predicted; what another clip's sound costs says whether the picture listens; the motion of
sampled clips says whether it moves as that sound demands. All are lists of one value a clip, so that two models compare clip by clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoint import Checkpoint, load_into
from ..conditions.voice import fit_voice_tokens
from ..flow import Guidance, Pass, sample_euler, uniform_sigmas
from ..tasks import APART, TASKS, Condition, Given, Task, Visibility
from ..training.batches import Batch
from ..training.corpus import in_training
from ..training.latents import Entry, LatentStore
from ..training.objective import Learner
from ..training.texts import open_texts

LEVELS = (0.2, 0.4, 0.6, 0.8)
"""Noise levels at which losses are taken; a loss is their mean."""
ROWS = 20
"""Clips computed together."""
MOVING = 4
"""Places of a picture (of 8 x 8 in nano) counted as its moving part: mouth and jaw."""
Scores = Mapping[str, list[float]]


class HeldOut:
    """The first held-out clips with a picture; clip i of another's sound gets the sound of clip i + 1."""

    def __init__(self, checkpoint: Checkpoint, store: LatentStore, clips: int) -> None:
        """Raises ValueError for fewer than two clips, CheckpointError for weights that do not fit their configuration."""
        self.learner = Learner(checkpoint.config).eval().requires_grad_(False)
        for name, module in self.learner.parts().items():
            load_into(module, checkpoint.part(name), name.replace("_", " "), torch.float32)
        self.config, self.store = checkpoint.config, store
        entries = [e for e in store.entries if not in_training(e.split) and e.video is not None]
        self.entries = [e for e in entries if (e.audio[1], e.video[1]) == (entries[0].audio[1], entries[0].video[1])][:clips]  # type: ignore[index]
        if len(self.entries) < 2:
            raise ValueError(f"{len(self.entries)} held-out clips with pictures: another clip's sound needs two at least")

    def losses(self, task: str, visibility: Visibility | None = None, *, other_sound: bool = False) -> Scores:
        """Velocity loss by clip of what the task generates: {"video": ..., "audio": ...}. `visibility` replaces the task's own."""
        found: dict[str, list[list[float]]] = {}
        for level in LEVELS:
            by_stream: dict[str, list[float]] = {}
            for numbers in self._groups():
                losses = self.learner(self._batch(TASKS[task], numbers, level, visibility, other_sound))
                for stream, rows in (("video", losses.video), ("audio", losses.audio)):
                    if rows is not None and getattr(TASKS[task], stream) is not Given.ALL:
                        by_stream.setdefault(stream, []).extend(rows.tolist())
            for stream, values in by_stream.items():
                found.setdefault(stream, []).append(values)
        return {stream: [sum(levels) / len(levels) for levels in zip(*values, strict=True)] for stream, values in found.items()}

    def motion(self, visibility: Visibility | None = None, *, sync: float = 0.0, steps: int = 8, other_sound: bool = False) -> list[float]:
        """How far the motion of pictures sampled for a sound (A2V) is that of the true clip: one correlation a clip.

        Motion is what is left of the latents when the average over time is taken away, in the places where the true clip moves most.
        """
        found: list[float] = []
        for numbers in self._groups():
            batch = self._batch(TASKS["A2V"], numbers, 1.0, visibility, other_sound)
            assert batch.video is not None
            made = self._sample(batch, Guidance(sync_video=sync), steps)
            found += motion_agreement(made[:, :, 1:], batch.video[:, :, 1:]).tolist()
        return found

    def _groups(self) -> list[list[int]]:
        everything = list(range(len(self.entries)))
        return [everything[i : i + ROWS] for i in range(0, len(everything), ROWS)]

    def _batch(self, task: Task, numbers: Sequence[int], level: float, visibility: Visibility | None, other_sound: bool) -> Batch:
        entries = [self.entries[i] for i in numbers]
        heard = [self.entries[(i + other_sound) % len(self.entries)] for i in numbers]
        audio = torch.stack([self.store.audio(e) for e in heard]).float()
        pictures = torch.stack([self.store.video(e) for e in entries]).float()
        masks = task.masks(pictures.shape[2], audio.shape[2])
        text, lengths = open_texts(self.learner.text_encoder, self.store, entries).batch(entries)
        rows = len(entries)
        video_mask, audio_mask = (None if mask is None else mask.expand(rows, -1) for mask in masks)
        assert audio_mask is not None  # no task is without sound
        absent = video_mask is None
        return Batch(
            tasks=(task.name,) * rows,
            video=None if absent else pictures,
            video_noise=None if absent else _noise("video", numbers, level, pictures),
            video_mask=video_mask,
            audio=audio,
            audio_noise=_noise("audio", numbers, level, audio),
            audio_mask=audio_mask,
            text=text,
            lengths=lengths,
            voice=torch.cat([self._voice(e) for e in entries]),
            gate=torch.full((rows,), float(Condition.VOICE in task.conditions)),
            s=torch.full((rows,), level),
            mouth=None,
            visibility=(visibility or task.visibility,) * rows,
        )

    def _voice(self, entry: Entry) -> Tensor:
        longest = self.config.audio.max_voice_tokens
        return fit_voice_tokens(self.store.voice(entry)[None, :, :longest].float(), longest)

    def _sample(self, batch: Batch, guidance: Guidance, steps: int) -> Tensor:
        """Pictures (B, C, T, h, w) for the sound of a batch of A2V, by Euler steps, its first latent given."""
        assert batch.video is not None and batch.video_noise is not None and batch.video_mask is not None
        conditions = self.learner.transformer.prepare(self.learner.encode_text(batch))
        generated, clean, sound_is_clean = batch.video_mask, batch.video, torch.zeros(len(batch.audio))
        mask = generated[:, None, :, None, None]

        def velocity(x: Tensor, s: float) -> Tensor:
            x = torch.where(mask > 0, x, clean)
            outs = {
                which: self.learner.transformer(
                    x, batch.audio, 1000 * s * generated, sound_is_clean, conditions, APART if which is Pass.APART else batch.visibility
                )[0]
                for which in guidance.passes
            }
            guided, _ = guidance.combine(outs, {Pass.FULL: None})
            assert guided is not None
            return guided

        *_, last = sample_euler(velocity, batch.video_noise, uniform_sigmas(steps, self.config.sampling.shift))
        return torch.where(mask > 0, last, clean)


def motion_agreement(made: Tensor, true: Tensor) -> Tensor:
    """Latents (B, C, T, h, w) twice -> (B,): the correlation of their motion over time where the true one moves most."""
    places = true.var(dim=2).mean(1).flatten(1).topk(MOVING, dim=1).indices
    at = places[:, None, None].expand(-1, true.shape[1], true.shape[2], -1)
    motions = []
    for latent in (made, true):
        found = latent.flatten(3).gather(3, at)
        motions.append((found - found.mean(2, keepdim=True)).flatten(1))
    return F.cosine_similarity(motions[0], motions[1], dim=1)


def _noise(stream: str, numbers: Sequence[int], level: float, like: Tensor) -> Tensor:
    """Noise that depends on the stream, the clip's number and the level alone."""
    rows = []
    for number in numbers:
        generator = torch.Generator().manual_seed(1_000_000 * (stream == "video") + 1000 * round(100 * level) + number)
        rows.append(torch.randn(like.shape[1:], generator=generator))
    return torch.stack(rows)
