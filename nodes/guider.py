"""Guidance in the directions of the core's `flow.Guidance`, as a guider of the host: one batch of passes a step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import comfy.samplers
from torch import Tensor

from ..unitalking_core.flow import Guidance, Pass
from .model import APART_INDEX, VOICE
from .run import RUN

Conditioning = list[list[Any]]


def with_voice(conditioning: Conditioning, latent: Tensor) -> Conditioning:
    """The conditioning with a voice riding on it."""
    return [[text, {**extra, VOICE: latent}] for text, extra in conditioning]


def without_voice(conditioning: Conditioning) -> Conditioning:
    return [[text, {key: value for key, value in extra.items() if key != VOICE}] for text, extra in conditioning]


def has_voice(conditioning: Conditioning) -> bool:
    return any(VOICE in extra for _, extra in conditioning)


class UniTalkingGuider(comfy.samplers.CFGGuider):
    """Text, voice and sync guidance, text and sync with a scale per stream.

    Text guidance goes through the host's own function, so nodes that patch guidance work; at equal scales and nothing else it *is* the
    host's.
    """

    def set_guidance(self, positive: Conditioning, negative: Conditioning, guidance: Guidance) -> None:
        self.guidance = guidance if has_voice(positive) else replace(guidance, voice=1.0)
        self.inner_set_conds({"positive": positive, "negative": negative, "no_voice": without_voice(positive), "apart": positive})

    def predict_noise(self, x: Tensor, timestep: Tensor, model_options: dict | None = None, seed: int | None = None) -> Tensor:
        options = model_options or {}
        passes = list(self.guidance.passes)
        if Pass.NO_TEXT not in passes and options.get("disable_cfg1_optimization", False):
            passes.append(Pass.NO_TEXT)
        conds = {Pass.FULL: "positive", Pass.NO_TEXT: "negative", Pass.NO_VOICE: "no_voice", Pass.APART: "apart"}
        if Pass.APART in passes:
            transformer_options = {**options.get("transformer_options", {}), APART_INDEX: passes.index(Pass.APART)}
            options = {**options, "transformer_options": transformer_options}
        outputs = comfy.samplers.calc_cond_batch(self.inner_model, [self.conds[conds[p]] for p in passes], x, timestep, options)
        out = dict(zip(passes, outputs, strict=True))
        guided = self._text_guided(out, x, timestep, options)
        others = replace(self.guidance, text_video=1.0, text_audio=1.0)
        if others == Guidance():
            return guided
        streams = {p: RUN.get().split(value) for p, value in out.items()}
        full = streams[Pass.FULL]
        combined = others.combine(*({p: pair[i] for p, pair in streams.items()} for i in (0, 1)))
        text = RUN.get().split(guided)
        return RUN.get().join(*(None if c is None else t + (c - f) for t, c, f in zip(text, combined, full, strict=True)))

    def _text_guided(self, out: dict[Pass, Tensor], x: Tensor, timestep: Tensor, options: dict) -> Tensor:
        def scaled(scale: float) -> Tensor:
            return comfy.samplers.cfg_function(
                self.inner_model,
                out[Pass.FULL],
                out.get(Pass.NO_TEXT, out[Pass.FULL]),
                scale,
                x,
                timestep,
                model_options=options,
                cond=self.conds["positive"],
                uncond=self.conds["negative"],
            )

        video_scale, audio_scale = self.guidance.text_video, self.guidance.text_audio
        guided = scaled(video_scale)
        if audio_scale == video_scale:
            return guided
        return RUN.get().join(RUN.get().split(guided)[0], RUN.get().split(scaled(audio_scale))[1])
