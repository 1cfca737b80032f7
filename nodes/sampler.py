"""JointFlowSampler: both streams sampled together, with guidance by text, voice and sync."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
from comfy_api.latest import io

from ..unitalking_core.config import ModelConfig
from ..unitalking_core.flow import Guidance
from . import inputs
from .guider import UniTalkingGuider, with_voice
from .latents import clip_streams, made_streams, model_config, require_finite, require_finite_step
from .reference_voice import require_voice

OWN = -1.0
"""A scale that leaves it to the checkpoint: what it was made for. Of the steps, 0 does."""


def _scale(name: str, tooltip: str, *, advanced: bool = False) -> io.Float.Input:
    tooltip += " -1 takes the checkpoint's own."
    return io.Float.Input(name, default=OWN, min=OWN, max=30.0, step=0.1, round=0.01, tooltip=tooltip, advanced=advanced)


def sampling_inputs() -> list[io.Input]:
    """The inputs that become `Sampling`, for every node that samples."""
    return [
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=True,
            tooltip="The random start of both streams.",
        ),
        io.Int.Input(
            "steps",
            default=0,
            min=0,
            max=1000,
            tooltip="More steps follow the flow more closely and take longer. 0 takes the checkpoint's own.",
        ),
        _scale(
            "video_text_scale",
            "How strongly the picture follows the text; 1 is off. With both text scales at 1 a step runs one pass less.",
        ),
        _scale("audio_text_scale", "How strongly the sound follows the text: clearer words; 1 is off."),
        _scale("voice_scale", "How strongly the sound follows the reference voice; 1 is off and runs no extra pass."),
        _scale("video_sync_scale", "Leads the picture towards what the sound says; 0 is off.", advanced=True),
        _scale("audio_sync_scale", "Leads the sound towards what the picture shows; 0 is off.", advanced=True),
        io.Combo.Input("sampler_name", options=comfy.samplers.KSampler.SAMPLERS, default="euler", tooltip="Any core sampler."),
        io.Combo.Input(
            "scheduler", options=comfy.samplers.KSampler.SCHEDULERS, default="simple", tooltip="How the noise levels are spaced."
        ),
    ]


def own_settings(config: ModelConfig) -> dict[str, Any]:
    """What the model was made for, by the inputs' names."""
    s = config.sampling
    return {
        "steps": s.steps,
        "video_text_scale": s.text_scale,
        "audio_text_scale": s.text_scale if s.audio_text_scale is None else s.audio_text_scale,
        "voice_scale": s.voice_scale,
        "video_sync_scale": s.video_sync_scale,
        "audio_sync_scale": s.audio_sync_scale,
    }


@dataclass(frozen=True)
class Sampling:
    """How a run is sampled; the fields are the inputs' names."""

    seed: int
    steps: int
    video_text_scale: float
    audio_text_scale: float
    voice_scale: float
    video_sync_scale: float
    audio_sync_scale: float
    sampler_name: str
    scheduler: str

    @classmethod
    def of(cls, config: ModelConfig, inputs: dict[str, Any]) -> Sampling:
        """The inputs' values, and the model's own where they say so."""
        own = {name: value for name, value in own_settings(config).items() if inputs[name] < (1 if name == "steps" else 0)}
        return cls(**{**inputs, **own})

    @property
    def guidance(self) -> Guidance:
        return Guidance(self.video_text_scale, self.audio_text_scale, self.voice_scale, self.video_sync_scale, self.audio_sync_scale)


class JointFlowSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="JointFlowSampler",
            display_name="Joint Flow Sampler",
            category="UniTalking",
            description="Generates picture and speech of a clip together. What the latent says is given (a portrait) stays as it is.",
            search_aliases=["ksampler", "unitalking sampler", "talking video sampler", "lip sync"],
            inputs=[
                inputs.model(),
                io.Conditioning.Input("positive", tooltip="What is said and shown: <S>the words<E> a description."),
                inputs.negative(),
                io.Latent.Input(
                    "latent", tooltip="From Encode Portrait, UniTalking Empty Clip or Empty Speech, or a node that gives speech or video."
                ),
                inputs.voice(" Without it the model chooses a voice.", optional=True),
                *sampling_inputs(),
            ],
            outputs=[io.Latent.Output(display_name="latent")],
        )

    @classmethod
    def execute(cls, model: Any, positive: list, negative: list, latent: dict, voice: dict | None = None, **sampling: Any) -> io.NodeOutput:
        how = Sampling.of(model_config(model), sampling)
        return io.NodeOutput(sample_clip(model, positive, negative, latent, voice, how, latent_preview.prepare_callback(model, how.steps)))


def sample_clip(
    model: Any, positive: list, negative: list, latent: dict, voice: dict | None, how: Sampling, preview: Callable[..., None]
) -> dict:
    """One run: the latent with what was not given made. `preview(step, x0, x, steps)` is called after each step.

    Raises ValueError for inputs of another kind, an empty prompt, or a result that is not finite.
    """
    config = model_config(model)
    alone = any(stream is None for stream in clip_streams(latent))
    video, audio = made_streams(latent)
    if not any(text.any() for text, _ in positive):
        raise ValueError("the positive prompt is empty: write what is said, such as <S>hello there<E> a woman with glasses")
    if voice is not None:
        require_voice(voice, config)
        positive, negative = with_voice(positive, voice["latent"]), with_voice(negative, voice["latent"])
    guider = UniTalkingGuider(model)
    guidance = replace(how.guidance, lone_voice=config.sampling.lone_voice).where_made(video=video, audio=audio)
    guider.set_guidance(positive, negative, guidance.without_sync() if alone else guidance)
    sigmas = comfy.samplers.KSampler(model, how.steps, model.load_device, how.sampler_name, how.scheduler).sigmas

    def after_step(step: int, x0: Any, x: Any, total: int) -> None:
        if step == 0:
            require_finite_step(x0, model)
        preview(step, x0, x, total)

    samples = guider.sample(
        comfy.sample.prepare_noise(latent["samples"], how.seed, latent.get("batch_index")),
        latent["samples"],
        comfy.samplers.sampler_object(how.sampler_name),
        sigmas,
        denoise_mask=latent.get("noise_mask"),
        callback=after_step,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=how.seed,
    )
    management = comfy.model_management
    out = {**latent, "samples": samples.to(device=management.intermediate_device(), dtype=management.intermediate_dtype())}
    require_finite(out, "sampling went wrong")
    return out
