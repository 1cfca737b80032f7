"""Rectified flow: path, target, sigma schedules, guidance and reference samplers.

Convention (Wan's): x_s = (1 - s) data + s noise, target v = noise - data, so data = x_s - s v. One sigma drives both streams.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .config import SamplingConfig

Velocity = Callable[[Tensor, float], Tensor]
"""v(x, s) of the same shape as x, at noise level s."""


def interpolate(data: Tensor, noise: Tensor, s: Tensor | float) -> Tensor:
    """The path: data at s = 0, noise at s = 1."""
    return (1 - s) * data + s * noise


def target(data: Tensor, noise: Tensor) -> Tensor:
    """The velocity along the path."""
    return noise - data


def shift(s: Tensor, amount: float) -> Tensor:
    """Move noise levels in [0, 1] towards 1: amount s / (1 + (amount - 1) s); 1 leaves them."""
    return amount * s / (1 + (amount - 1) * s)


def uniform_sigmas(steps: int, amount: float, start: float = 1.0) -> Tensor:
    """(steps + 1,) sigmas, evenly spaced from `start` to 0, then shifted."""
    return shift(torch.linspace(start, 0, steps + 1, dtype=torch.float64), amount).float()


def wan_sigmas(steps: int, amount: float) -> tuple[Tensor, Tensor]:
    """Wan2.2's schedule: sigmas (steps + 1,) that start just below 1, and its timesteps (steps,), truncated to integers."""
    sigmas = uniform_sigmas(steps, amount, start=0.999)
    return sigmas, (sigmas[:-1].double() * 1000).long()


def sample_euler(velocity: Velocity, x: Tensor, sigmas: Tensor) -> Iterable[Tensor]:
    """Yields x after every step."""
    for s, following in _steps(sigmas):
        x = x + (following - s) * velocity(x, s)
        yield x


def sample_unipc(velocity: Velocity, x: Tensor, sigmas: Tensor) -> Iterable[Tensor]:
    """UniPC of order 2, form bh2, data prediction, with its corrector (arXiv 2302.04867), as Wan2.2 samples. Yields x after every step.

    The first sigma must be below 1. As the paper prescribes, the first and the last step fall back to order 1.
    """
    steps = _steps(sigmas)
    before: list[tuple[float, Tensor]] = []  # (lambda, data prediction) of the last points
    start, start_order = x, 0
    for i, (s, following) in enumerate(steps):
        data = x - s * velocity(x, s)
        if before:
            x = _unipc_update(start, before, steps[i - 1][0], s, start_order, corrector=data)
        before = [*before[-1:], (_log_snr(s), data)]
        start, start_order = x, min(2, len(before), len(steps) - i)
        x = _unipc_update(x, before, s, following, start_order)
        yield x


def _unipc_update(
    x: Tensor, points: list[tuple[float, Tensor]], s: float, to: float, order: int, corrector: Tensor | None = None
) -> Tensor:
    """One step from sigma `s` to `to`, predicted from `points` or corrected by the data prediction made at `to`."""
    log_snr, data = points[-1]
    h = _log_snr(to) - log_snr
    decay = math.expm1(-h)
    base = (to / s) * x - (1 - to) * decay * data
    slope = torch.zeros_like(x)
    ratio, difference = 1.0, None
    if order == 2:
        ratio = (points[-2][0] - log_snr) / h
        difference = (points[-2][1] - data) / ratio
    if corrector is None:
        slope = slope if difference is None else 0.5 * difference
    elif difference is None:
        slope = 0.5 * (corrector - data)
    else:
        first = (decay / -h - 1) / decay
        second = 2 * ((decay / -h - 1) / -h - 0.5) / decay
        weight_new = (second - ratio * first) / (1 - ratio)
        slope = (first - weight_new) * difference + weight_new * (corrector - data)
    return base - (1 - to) * decay * slope


def _log_snr(s: float) -> float:
    return math.inf if s == 0 else math.log(1 - s) - math.log(s)


def _steps(sigmas: Tensor) -> list[tuple[float, float]]:
    values = sigmas.double().tolist()
    return list(pairwise(values))


class Pass(Enum):
    """One evaluation of the model; all but FULL leave something out."""

    FULL = "full"
    NO_TEXT = "without text"
    NO_VOICE = "without voice"
    APART = "streams apart"


@dataclass(frozen=True)
class Guidance:
    """v = c + (text - 1)(c - c_no_text) + (voice - 1)(c - c_no_voice) + sync (c - c_apart), text and sync per stream.

    Directions as in NAVA (arXiv 2605.30073). A term at its neutral value runs no pass. `lone_voice`, as NAVA has it: only the full pass
    hears the voice, and the voice term is the sound's alone.
    """

    text_video: float = 1.0
    text_audio: float = 1.0
    voice: float = 1.0
    sync_video: float = 0.0
    sync_audio: float = 0.0
    lone_voice: bool = False

    @classmethod
    def of(cls, own: SamplingConfig, text: float | None = None, voice: float | None = None, sync: float | None = None) -> Guidance:
        """A model's own guidance, with the scales that are told in place of its own; text and sync are then those of both streams.

        Raises ValueError for a negative scale, which would lead away from what was asked for.
        """
        told = {"text": text, "voice": voice, "sync": sync}
        negative = [f"{name} {scale:g}" for name, scale in told.items() if scale is not None and scale < 0]
        if negative:
            raise ValueError(f"guidance scales are not negative, got {', '.join(negative)}")
        audio_text = own.text_scale if own.audio_text_scale is None else own.audio_text_scale
        return cls(
            own.text_scale if text is None else text,
            audio_text if text is None else text,
            own.voice_scale if voice is None else voice,
            own.video_sync_scale if sync is None else sync,
            own.audio_sync_scale if sync is None else sync,
            own.lone_voice,
        )

    @property
    def passes(self) -> tuple[Pass, ...]:
        needed = [Pass.FULL]
        if (self.text_video, self.text_audio) != (1, 1):
            needed.append(Pass.NO_TEXT)
        if self.voice != 1:
            needed.append(Pass.NO_VOICE)
        if (self.sync_video, self.sync_audio) != (0, 0):
            needed.append(Pass.APART)
        return tuple(needed)

    def hears(self, each: Pass) -> bool:
        """Whether a pass is given the voice."""
        return each is Pass.FULL if self.lone_voice else each is not Pass.NO_VOICE

    def without_voice(self) -> Guidance:
        """The same guidance for a run that has no voice to guide towards."""
        return replace(self, voice=1.0)

    def without_sync(self) -> Guidance:
        """The same guidance for a run of one stream, which has nothing to be in step with."""
        return replace(self, sync_video=0.0, sync_audio=0.0)

    def where_made(self, *, video: bool, audio: bool) -> Guidance:
        """The same guidance for a run that makes these streams: what is given whole asks for no pass of its own."""
        return replace(
            self,
            text_video=self.text_video if video else self.text_audio,
            text_audio=self.text_audio if audio else self.text_video,
            sync_video=self.sync_video if video else 0.0,
            sync_audio=self.sync_audio if audio else 0.0,
        )

    def combine(self, video: Mapping[Pass, Tensor | None], audio: Mapping[Pass, Tensor | None]) -> tuple[Tensor | None, Tensor | None]:
        """Outputs of the passes (velocities or data predictions, the formula is linear) -> the guided pair; None stays None."""
        voice = self.voice - 1
        return (
            self._stream(video, self.text_video - 1, 0.0 if self.lone_voice else voice, self.sync_video),
            self._stream(audio, self.text_audio - 1, voice, self.sync_audio),
        )

    @staticmethod
    def _stream(out: Mapping[Pass, Tensor | None], text: float, voice: float, sync: float) -> Tensor | None:
        full = out[Pass.FULL]
        if full is None:
            return None
        guided = full
        for which, weight in ((Pass.NO_TEXT, text), (Pass.NO_VOICE, voice), (Pass.APART, sync)):
            without = out.get(which)
            if weight and without is not None:
                guided = guided + weight * (full - without)
        return guided
