"""A clip longer than its model's: made in stretches that each go on from the one before, joined as latents.

A stretch begins with the anchor (the portrait, as its first latent) and the last latents and tokens of what is there already: both are
given. So the face is held to the portrait again and again, nothing is encoded twice, and a causal codec decodes the whole without seams.
The last of what was there is made again and cross-faded. Latents are video (1, C, T, h, w) and audio (1, C, La), all on one timeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from .conditions.recording import loudness
from .conditions.script import silence_seconds
from .timeline import Clip, Timeline

CONTEXT_SHARE = 1 / 6
"""Of the model's own length: what a stretch sees and hears of what is there already, unless another context is asked for."""
OVERLAP = 1
"""Video latents, with their sound, that are made twice and cross-faded."""
SHORTEST = 0.6
"""Of the model's own length: much shorter clips are none that it knows."""
LEAST_SECONDS = 0.5
MOST_GAIN = 2.0
RAMP_SECONDS = 0.08
LISTENING_SYNC = 2.0
"""Sync guidance of the picture of somebody who listens, towards the silence that is heard. Without it lips move a little."""


def room(longest_seconds: float, context: float = 0.0) -> float:
    """Seconds of speech, with the silence around it, that every stretch has room for. Raises ValueError where that is next to none."""
    left = longest_seconds - (context or CONTEXT_SHARE * longest_seconds)
    if left < LEAST_SECONDS:
        raise ValueError(f"a context of {context:g} s leaves no room for words in clips of {longest_seconds:.1f} s; make it shorter")
    return left + silence_seconds()


@dataclass(frozen=True)
class Stretch:
    """One run: a clip whose latent 0 stands at `latent` of the whole, whose token 0 at `token`.

    Of its own latents and tokens the first `known` are given, the first `there` are in the whole already.
    """

    clip: Clip
    latent: int = 0
    token: int = 0
    known: tuple[int, int] = (0, 0)
    there: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Track:
    """What is made of one person so far. `anchor` (1, C, 1, h, w): the portrait; the first picture made where there is none."""

    timeline: Timeline
    anchor: Tensor | None = None
    video: Tensor | None = None
    audio: Tensor | None = None

    @property
    def latents(self) -> int:
        return 0 if self.video is None else self.video.shape[2]

    @property
    def clip(self) -> Clip:
        """Raises ValueError while nothing is made."""
        return self.timeline.clip_of_latents(self.latents)

    def next(self, speech_seconds: float, longest_seconds: float, context: float = 0.0) -> Stretch:
        """The stretch that has room for so much speech, as far as the model's length allows. `context` in seconds; 0 takes the usual.

        The silence around the words, part of `speech_seconds`, lies in the context where there is one.
        """
        line = self.timeline
        if self.video is None or self.audio is None:
            seconds = min(max(speech_seconds, SHORTEST * longest_seconds), longest_seconds)
            return Stretch(line.covering(seconds), known=(0 if self.anchor is None else 1, 0))
        context = context or CONTEXT_SHARE * longest_seconds
        speech_seconds -= silence_seconds()
        seen = min(max(round(context * line.latent_rate), OVERLAP + 1), self.latents - 1)
        before = float(seen / line.latent_rate)
        clip = line.covering(min(max(before + speech_seconds, SHORTEST * longest_seconds), max(longest_seconds, 2 * before)))
        latent = self.latents - seen - 1
        token = round(latent / line.latent_rate * line.token_rate)
        there = self.audio.shape[-1] - token
        known = seen + 1 - OVERLAP
        tokens = min(line.tokens_within(line.clip_of_latents(known).exact_seconds), there)
        return Stretch(clip, latent, token, (known, tokens), (seen + 1, there))

    def given(self, stretch: Stretch) -> tuple[Tensor | None, Tensor | None]:
        """The known latents and tokens of a stretch; None where none are."""
        if self.video is None or self.audio is None:
            return self.anchor, None
        latents, tokens = stretch.known
        anchor = self.video[:, :, :1] if self.anchor is None else self.anchor
        seen = self.video[:, :, stretch.latent + 1 : stretch.latent + latents]
        return torch.cat([anchor.to(seen), seen], dim=2), self.audio[..., stretch.token : stretch.token + tokens]

    def joined(self, stretch: Stretch, video: Tensor, audio: Tensor) -> Track:
        """The track with what a run made of a stretch."""
        if self.video is None or self.audio is None:
            return replace(self, video=video, audio=audio)
        whole = _join(self.video, video, stretch.latent, stretch.known[0], stretch.there[0])
        sound = _join(self.audio, audio, stretch.token, stretch.known[1], stretch.there[1])
        return replace(self, video=whole, audio=_long(sound, self.timeline.clip_of_latents(whole.shape[2]).audio_tokens))


def _join(whole: Tensor, made: Tensor, at: int, known: int, there: int) -> Tensor:
    """Along axis 2: what is known stays, what was there and is made again is faded over, the rest is added."""
    steps = there - known
    old, new = whole[:, :, at + known : at + there], made[:, :, known:there]
    ramp = (torch.arange(1, steps + 1, device=whole.device, dtype=whole.dtype) / (steps + 1)).view(1, 1, -1, *[1] * (whole.ndim - 3))
    return torch.cat([whole[:, :, : at + known], old + ramp * (new.to(old) - old), made[:, :, there:].to(whole)], dim=2)


def _long(audio: Tensor, tokens: int) -> Tensor:
    """A stretch begins within half a token of its picture, so that the whole may be a token short or long."""
    missing = tokens - audio.shape[-1]
    return audio[..., :tokens] if missing <= 0 else torch.cat([audio, audio[..., -1:].expand(-1, -1, missing)], dim=-1)


@dataclass(frozen=True)
class Levels:
    """How loud the stretches are made: `starts` in seconds, the first one 0, and a gain for each."""

    starts: tuple[float, ...]
    gains: tuple[float, ...]

    @classmethod
    def alike(cls, waveform: Tensor, sample_rate: int, starts: Sequence[float]) -> Levels:
        """Gains that bring the stretches of (1, N) to their middle loudness, at most MOST_GAIN times; silent ones are left alone."""
        edges = [round(s * sample_rate) for s in starts] + [waveform.shape[-1]]
        parts = [waveform[:, a:b] for a, b in pairwise(edges)]
        levels = [loudness(part, sample_rate) if part.shape[-1] else float("-inf") for part in parts]
        heard = sorted(level for level in levels if level > float("-inf"))
        if not heard:
            return cls(tuple(starts), (1.0,) * len(starts))
        middle = heard[len(heard) // 2]
        gains = (1.0 if level == float("-inf") else 10 ** ((middle - level) / 20) for level in levels)
        return cls(tuple(starts), tuple(min(max(gain, 1 / MOST_GAIN), MOST_GAIN) for gain in gains))

    def apply(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """(..., N) -> the same, gains gliding over from one stretch to the next within RAMP_SECONDS."""
        time = torch.arange(waveform.shape[-1], dtype=torch.float64) / sample_rate
        gain = torch.full_like(time, self.gains[0])
        for start, before, after in zip(self.starts[1:], self.gains, self.gains[1:], strict=False):
            gain += (after - before) * ((time - start) / RAMP_SECONDS + 0.5).clamp(0, 1)
        return waveform * gain.to(waveform)
