"""Guidance in the directions of the core's `flow.Guidance`, as a guider of the host: one batch of passes a step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import comfy.samplers
import torch
from torch import Tensor

from ..unitalking_core.flow import Guidance, Pass
from .model import VOICE
from .run import RUN
from .transformer import APART_INDEX

Conditioning = list[list[Any]]
CONDITIONS = {Pass.FULL: "positive", Pass.NO_TEXT: "negative", Pass.NO_VOICE: "no_voice", Pass.APART: "apart"}


def with_voice(conditioning: Conditioning, latent: Tensor) -> Conditioning:
    """The conditioning with a voice riding on it."""
    return [[text, {**extra, VOICE: latent}] for text, extra in conditioning]


def without_voice(conditioning: Conditioning) -> Conditioning:
    return [[text, {key: value for key, value in extra.items() if key != VOICE}] for text, extra in conditioning]


def voice_of(conditioning: Conditioning) -> Tensor | None:
    """The voice that rides on a conditioning, if one does."""
    return next((extra[VOICE] for _, extra in conditioning if VOICE in extra), None)


class UniTalkingGuider(comfy.samplers.CFGGuider):
    """Text, voice and sync guidance, text and sync with a scale per stream.

    Text guidance goes through the host's own functions, so nodes that patch guidance work; at equal scales and nothing else it *is* the
    host's.
    """

    def set_guidance(self, positive: Conditioning, negative: Conditioning, guidance: Guidance) -> None:
        """A voice on the positive conditioning alone is put on the negative one too: text guidance must not lead towards the voice.

        Not where the model was made for a voice in the full pass alone.
        """
        voice, alone = voice_of(positive), without_voice(positive)
        if guidance.lone_voice:
            negative = without_voice(negative)
        elif voice is not None and voice_of(negative) is None:
            negative = with_voice(negative, voice)
        self.guidance = guidance if voice is not None else guidance.without_voice()
        apart = alone if guidance.lone_voice else positive
        self.inner_set_conds({"positive": positive, "negative": negative, "no_voice": alone, "apart": apart})

    def predict_noise(self, x: Tensor, timestep: Tensor, model_options: dict | None = None, seed: int | None = None) -> Tensor:
        options = model_options or {}
        scale = self.guidance.text_video
        if self.guidance == Guidance(scale, scale, lone_voice=self.guidance.lone_voice):
            conds = self.conds["negative"], self.conds["positive"]
            return comfy.samplers.sampling_function(self.inner_model, x, timestep, *conds, scale, options, seed)
        passes = list(self.guidance.passes)
        if Pass.NO_TEXT not in passes and options.get("disable_cfg1_optimization", False):
            passes.append(Pass.NO_TEXT)
        out = self._evaluate(passes, x, timestep, options)
        text = self._text_guided(out, x, timestep, options)
        others = replace(self.guidance, text_video=1.0, text_audio=1.0)
        run = RUN.get()
        streams = {p: run.split(value) for p, value in out.items()}
        combined = others.combine(*({p: pair[i] for p, pair in streams.items()} for i in (0, 1)))
        full, guided = streams[Pass.FULL], run.split(text)
        return run.join(*(None if c is None else g + (c - f) for g, c, f in zip(guided, combined, full, strict=True)))

    def _evaluate(self, passes: list[Pass], x: Tensor, timestep: Tensor, options: dict) -> dict[Pass, Tensor]:
        """The passes as one batch; where a node replaces the evaluation of the text pair, the others are a batch of their own."""
        out = {}
        replaced = options.get("sampler_calc_cond_batch_function")
        if replaced is not None and Pass.NO_TEXT in passes:
            conds = [self.conds["positive"], self.conds["negative"]]
            args = {"conds": conds, "input": x, "sigma": timestep, "model": self.inner_model, "model_options": options}
            out = dict(zip((Pass.FULL, Pass.NO_TEXT), replaced(args), strict=True))
            passes = [p for p in passes if p not in out]
        if Pass.APART in passes:
            transformer_options = {**options.get("transformer_options", {}), APART_INDEX: passes.index(Pass.APART)}
            options = {**options, "transformer_options": transformer_options}
        if passes:
            conds = [self.conds[CONDITIONS[p]] for p in passes]
            out |= dict(zip(passes, comfy.samplers.calc_cond_batch(self.inner_model, conds, x, timestep, options), strict=True))
        return out

    def _text_guided(self, out: dict[Pass, Tensor], x: Tensor, timestep: Tensor, options: dict) -> Tensor:
        """The host's own text guidance on the pair, with a scale per stream."""
        if Pass.NO_TEXT not in out:
            return out[Pass.FULL]
        scale = self._text_scale(x)
        conds = [self.conds["positive"], self.conds["negative"]]
        pair = [out[Pass.FULL], out[Pass.NO_TEXT]]
        common = {"input": x, "sigma": timestep, "timestep": timestep, "model": self.inner_model, "model_options": options}
        for change in options.get("sampler_pre_cfg_function", []):
            pair = change({"conds": conds, "conds_out": pair, "cond_scale": scale, **common})
        return comfy.samplers.cfg_function(
            self.inner_model, pair[0], pair[1], scale, x, timestep, model_options=options, cond=conds[0], uncond=conds[1]
        )

    def _text_scale(self, x: Tensor) -> float | Tensor:
        """A number where both streams have the same scale, else one for every element of the pack."""
        video, audio = self.guidance.text_video, self.guidance.text_audio
        if video == audio:
            return video
        run = RUN.get()
        return run.join(*(None if s is None else torch.full_like(s, scale) for s, scale in zip(run.split(x), (video, audio), strict=True)))
