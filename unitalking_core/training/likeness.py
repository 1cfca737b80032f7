"""A loss that draws the voice of what the model makes to that of its reference, above all for voices that nothing was learned from.

A model that has heard a few voices often answers an unknown one with the nearest of those. What it says in an unknown voice cannot be
compared with a recording, but its voice can be compared with the reference's (speaker consistency: YourTTS, arXiv 2112.02418). So the
model samples, guided as it will be used, down to some noise level, and its data prediction there is heard by a `VoiceEncoder`; the
gradient goes through the last evaluation (as DRaFT-1 cuts it, arXiv 2309.17400). Beside it `keep` holds everything else in its place.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..conditions.voice import fit_voice_tokens
from ..config import ModelConfig, SamplingConfig
from ..flow import Guidance, Pass, uniform_sigmas
from ..tasks import TASKS, Condition, Given, Task
from ..transformer import UniTalkingTransformer
from ..transformer.model import RunBlock
from ..transformer.operations import Attend
from .batches import SHORTEST_VOICE, Batch
from .conditions import conditions_for_training
from .corpus import in_training
from .latents import Latents, described
from .voice_encoder import VoiceEncoder

STEPS = 6
"""Of the sampling, fewer than users take: it is the voice that matters."""
LEVELS = (0.15, 0.95)
"""Noise levels where a prediction is listened to: above it is a blur, below the voice is settled."""
GUESTS = 0.6
"""Share of rows that speak in a guest's voice instead of their clip's."""
RIVALS, SHARPNESS = 0.3, 15.0
"""Weight of being nearer to the reference than to any voice that is known by heart, and how sharply the nearest one counts."""
SAME = 0.87
"""What is so near to a voice that is known by heart is that voice. Clips of nano's 41 are at 0.95 to 0.99 to their own, and at most at
0.77 to others."""
OFTEN = 4
"""A voice with more recordings, references among them, is known by heart."""


class LikenessError(ValueError):
    """What voices are compared with cannot be used."""


@dataclass(frozen=True)
class Likeness:
    """guests: latents (C, L) of everybody's recordings, `sounds` (SIZE,) what they have in common; known (N, SIZE): the voices that are
    known by heart."""

    model: ModelConfig
    encoder: VoiceEncoder
    guests: Mapping[str, Sequence[Tensor]]
    known: Tensor
    sounds: Mapping[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        place = self.known.device
        sounds = {name: self.encoder.voice_of([said.to(place) for said in recordings]) for name, recordings in self.guests.items()}
        object.__setattr__(self, "sounds", sounds)

    def loss(
        self, transformer: UniTalkingTransformer, text: Tensor, batch: Batch, attend: Attend, run_block: RunBlock | None = None
    ) -> tuple[Tensor, Tensor]:
        """For a batch with its text (B, Lt, text_dim): the loss, and how far each voice is from its reference's (B,).

        The distance is 1 - cosine; the loss is its mean, and more where a voice that is known by heart is nearer than the reference's.
        Rows whose sound is given, or has no voice to be like, count nothing, and are 0.
        """
        far, rows = text.new_zeros(len(batch.tasks)), [i for i, task in enumerate(batch.tasks) if _speaks(TASKS[task])]
        if not rows:
            return text.sum() * 0, far
        rng, few = random.Random(batch.seed), batch.rows(rows)
        voice, wanted = self._references(few, rng)
        levels = uniform_sigmas(STEPS, self.model.sampling.shift).tolist()
        last = rng.choice([i for i, level in enumerate(levels) if LEVELS[0] <= level <= LEVELS[1]])
        speaker = _Speaker(transformer, self.model.sampling, text.detach()[rows], voice, few, attend, run_block)
        video, audio = few.video_noise, few.audio_noise
        assert audio is not None
        with torch.no_grad():
            for s, following in pairwise(levels[: last + 1]):
                shown, heard = speaker.velocities(video, audio, s)
                video = None if video is None or shown is None else video + (following - s) * shown
                audio = audio + (following - s) * heard
        torch.clear_autocast_cache()  # it holds weights in half precision, without gradients
        data = audio - levels[last] * speaker.velocities(video, audio, levels[last])[1]
        with torch.autocast(data.device.type, enabled=False):
            sound = self.encoder(data)
            own = (sound * wanted).sum(1)
            rivals = (sound @ self.known.T).masked_fill(wanted @ self.known.T > SAME, -1.0)
            nearest = F.cross_entropy(SHARPNESS * torch.cat([own[:, None], rivals], 1), own.new_zeros(len(own), dtype=torch.long))
            far[rows] = 1 - own.detach()
            return ((1 - own).mean() + RIVALS * nearest) * len(rows) / len(far), far

    def _references(self, batch: Batch, rng: random.Random) -> tuple[Tensor, Tensor]:
        """Voices (B, C, Lr) and how they sound (B, SIZE): a guest's, or the clip's own."""
        longest, voice, wanted = self.model.audio.max_voice_tokens, batch.voice.clone(), []
        for row, (own, clip) in enumerate(zip(batch.voice, batch.audio, strict=True)):
            if rng.random() >= GUESTS:
                with torch.autocast(own.device.type, enabled=False):
                    wanted.append(self.encoder.voice_of([own[:, : int((own != 0).any(0).sum())], clip]))
                continue
            guest = rng.choice(sorted(self.guests))
            spoken = rng.choice(self.guests[guest])
            length = min(spoken.shape[1], rng.randint(round(SHORTEST_VOICE * longest), longest))
            start = rng.randint(0, spoken.shape[1] - length)
            voice[row] = fit_voice_tokens(spoken[None, :, start : start + length].to(voice), longest)[0]
            wanted.append(self.sounds[guest])
        return voice, torch.stack(wanted)

    def to(self, device: torch.device) -> Likeness:
        return replace(self, encoder=self.encoder.to(device), known=self.known.to(device))

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        tensors = {f"encoder.{name}": weight for name, weight in self.encoder.state_dict().items()} | {"known": self.known}
        tensors |= {f"guests.{name}.{k}": r for name, recordings in self.guests.items() for k, r in enumerate(recordings)}
        part = path.with_suffix(".part")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part, {"codec": json.dumps(described(self.model.audio))})
        part.replace(path)

    @classmethod
    def load(cls, path: Path, model: ModelConfig) -> Likeness:
        """Raises LikenessError for a file that cannot be read, or whose voices were encoded by another codec."""
        try:
            with safe_open(path, framework="pt") as file:
                made_by = (file.metadata() or {}).get("codec")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
        except SafetensorError as error:
            raise LikenessError(f"{path} cannot be read ({error}); remove it to learn it again") from error
        if made_by != json.dumps(described(model.audio)):
            raise LikenessError(f"{path} was made by another codec; remove it to learn it again")
        state = {name.removeprefix("encoder."): tensor for name, tensor in tensors.items() if name.startswith("encoder.")}
        encoder = VoiceEncoder(state["enter.weight"].shape[1])
        encoder.load_state_dict(state)
        guests: dict[str, list[Tensor]] = {}
        for name in sorted(tensors):
            if name.startswith("guests."):
                guests.setdefault(name.removeprefix("guests.").rpartition(".")[0], []).append(tensors[name])
        return cls(model, encoder.eval().requires_grad_(False), guests, tensors["known"])


def _speaks(task: Task) -> bool:
    """Whether a row of the task makes all of its sound, in a voice."""
    return task.audio is Given.NOTHING and Condition.VOICE in task.conditions | task.optional


class _Speaker:
    """The model as it speaks, guided as users will guide it but for the direction of sync, which is the picture's."""

    def __init__(
        self,
        transformer: UniTalkingTransformer,
        own: SamplingConfig,
        text: Tensor,
        voice: Tensor,
        batch: Batch,
        attend: Attend,
        run_block: RunBlock | None,
    ) -> None:
        self.transformer, self.text, self.voice, self.batch, self.attend = transformer, text, voice, batch, attend
        self.run_block = run_block
        self.guidance = Guidance.of(own).without_sync().where_made(video=batch.video is not None, audio=True)

    def velocities(self, video: Tensor | None, audio: Tensor, s: float) -> tuple[Tensor | None, Tensor]:
        """Of video (B, C, T, h, w), with what is given of it put in its place, and of audio (B, C, La).

        A gradient goes through the full pass alone.
        """
        if video is not None and self.batch.video is not None and self.batch.video_mask is not None:
            video = torch.where(self.batch.video_mask[:, None, :, None, None] > 0, video, self.batch.video)
        made = {Pass.FULL: self._pass(Pass.FULL, video, audio, s)}
        with torch.no_grad():
            made |= {each: self._pass(each, video, audio, s) for each in self.guidance.passes[1:]}
        shown, heard = self.guidance.combine({p: out[0] for p, out in made.items()}, {p: out[1] for p, out in made.items()})
        assert heard is not None
        return shown, heard

    def _pass(self, each: Pass, video: Tensor | None, audio: Tensor, s: float) -> tuple[Tensor | None, Tensor]:
        # Nothing is what a text encoder that learns makes of an empty text; others are refused by the trainer.
        text = torch.zeros_like(self.text) if each is Pass.NO_TEXT else self.text
        gate = audio.new_full((len(audio),), float(self.guidance.hears(each)))
        conditions = conditions_for_training(self.transformer, text, self.voice, gate, video=video is not None)
        times, mask = audio.new_full((len(audio),), 1000 * s), self.batch.video_mask
        shown, heard = self.transformer(
            video, audio, None if mask is None else times[:, None] * mask, times, conditions, self.batch.visibility,
            attend=self.attend, run_block=self.run_block,
        )  # fmt: skip
        return None if shown is None else shown.float(), heard.float()


def voices_of(store: Latents) -> dict[str, list[Tensor]]:
    """Everybody in training clips, with the latents (C, L) of all that they say."""
    people: dict[str, dict[Any, Tensor]] = {}
    for entry in store.entries:
        if in_training(entry.split):
            said = people.setdefault(entry.speaker, {})
            said[entry.audio], said[entry.voice] = store.audio(entry), store.voice(entry)
    return {name: list(said.values()) for name, said in people.items()}


def known_by_heart(encoder: VoiceEncoder, people: Mapping[str, Sequence[Tensor]]) -> Tensor:
    """How those sound (N, SIZE) who say more than OFTEN things."""
    often: Iterable[Sequence[Tensor]] = (said for _, said in sorted(people.items()) if len(said) > OFTEN)
    found = [encoder.voice_of(said) for said in often]
    return torch.stack(found) if found else torch.zeros(0, encoder.leave.out_features)
