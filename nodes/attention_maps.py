"""UniTalkingAttentionMaps: where a clip's sound looks in its picture, and which places of the picture listen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from comfy_api.latest import io
from torch import Tensor

from ..unitalking_core.attention_maps import AttentionWatch, CrossAttention, chart, inside, mask_coverage, overlay
from ..unitalking_core.flow import Guidance
from . import inputs
from .guider import UniTalkingGuider, with_voice
from .latents import clip_of, joint_streams, model_config
from .reference_voice import require_voice
from .report import say

OVERRIDE = "optimized_attention_override"


class UniTalkingAttentionMaps(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniTalkingAttentionMaps",
            display_name="UniTalking Attention Maps",
            category="UniTalking",
            description="Shows where the sound of a clip looks in its picture, which places of the picture listen, and at which times: the "
            "model looks at the clip once, at one noise level, and its joint attention is drawn.",
            search_aliases=["attention visualisation", "heat map", "explain", "lip sync attention", "cross-modal attention"],
            inputs=[
                inputs.model(", with what was used for sampling (LoRAs)"),
                io.Conditioning.Input("positive", tooltip="The conditioning that the clip was made with."),
                io.Latent.Input("latent", tooltip="A sampled clip, from Joint Flow Sampler or a core sampler."),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="The clip's pictures, from Decode Audio-Video, to draw the maps on; black without them.",
                ),
                inputs.Voice.Input("voice", optional=True, tooltip="The voice that the clip was made with."),
                io.Mask.Input(
                    "region",
                    optional=True,
                    tooltip="A place of the picture, such as the mouth: the node says how much attention falls on it.",
                ),
                io.Float.Input(
                    "noise_level",
                    default=0.5,
                    min=0.01,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="How noisy the clip is when the model looks at it: 1 is a run's first step, 0 its end.",
                ),
                io.Int.Input(
                    "block",
                    default=-1,
                    min=-1,
                    max=999,
                    optional=True,
                    advanced=True,
                    tooltip="One of the model's blocks, counted from 0; -1 takes the mean of all.",
                ),
                io.Int.Input(
                    "seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, optional=True, advanced=True, tooltip="The noise that is added."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="sound looks at", tooltip="For every frame: where the sound of that moment looks."),
                io.Image.Output(
                    display_name="picture listens", tooltip="For every frame: how much each place hears the sound of that moment."
                ),
                io.Image.Output(
                    display_name="timing", tooltip="Time of the sound (to the right) against time of the picture it looks at (up)."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: list,
        latent: dict,
        images: Tensor | None = None,
        voice: dict | None = None,
        region: Tensor | None = None,
        noise_level: float = 0.5,
        block: int = -1,
        seed: int = 0,
    ) -> io.NodeOutput:
        config = model_config(model)
        video, audio = joint_streams(latent)
        clip = clip_of(latent, config)
        if voice is not None:
            require_voice(voice, config)
            positive = with_voice(positive, voice["latent"])
        patch = config.transformer.video_patch
        grid = tuple(-(-n // p) for n, p in zip(video.shape[2:], patch, strict=True))
        watch = AttentionWatch(grid, audio.shape[-1], config.transformer.layers, None if block < 0 else block)  # type: ignore[arg-type]
        look(model, positive, latent, noise_level, seed, watch)
        found = watch.result()
        if images is None:
            stride = config.video.spatial_stride
            images = torch.zeros(clip.frames, video.shape[-2] * stride, video.shape[-1] * stride, 3)
        return io.NodeOutput(*_pictures(found, images, config.timeline), ui=say(cls, _report(found, config.timeline, region)))


def look(model: Any, positive: list, latent: dict, level: float, seed: int, watch: AttentionWatch) -> None:
    """Let the model see the clip once at a noise level, what is given staying clean, with a watch on its attention."""
    model = model.clone()
    options = model.model_options.setdefault("transformer_options", {})
    options[OVERRIDE] = _watched(watch, options.get(OVERRIDE))
    guider = UniTalkingGuider(model)
    guider.set_guidance(positive, positive, Guidance())
    guider.sample(
        comfy.sample.prepare_noise(latent["samples"], seed, latent.get("batch_index")),
        latent["samples"],
        comfy.samplers.sampler_object("euler"),
        torch.tensor([level, 0.0]),
        denoise_mask=latent.get("noise_mask"),
        disable_pbar=True,
        seed=seed,
    )


def _watched(watch: AttentionWatch, before: Callable | None) -> Callable:
    """The host's override of its attention: another node's stays in force."""

    def override(attention: Callable, *args: Any, **kwargs: Any) -> Tensor:
        watch.watch(args[0], args[1], kwargs["heads"])
        return attention(*args, **kwargs) if before is None else before(attention, *args, **kwargs)

    return override


def _pictures(found: CrossAttention, images: Tensor, timeline: Any) -> list[Tensor]:
    """Both maps on the frames, and the chart; a direction that the task forbids stays dark."""
    maps = found.seen(timeline), found.heard(timeline)
    there = next(m for m in maps if m is not None)
    drawn = [overlay(images.cpu(), torch.zeros_like(there) if m is None else m, timeline) for m in maps]
    timing = found.timing()
    return [*drawn, (torch.zeros(1, 64, 64, 3) if timing is None else chart(timing)[None])]


def _report(found: CrossAttention, timeline: Any, region: Tensor | None) -> str:
    lines = []
    for maps, whole, what in (
        (found.seen(timeline), found.audio_to_video, "of the sound's attention goes to the picture"),
        (found.heard(timeline), found.video_to_audio, "of the picture's attention goes to the sound"),
    ):
        if maps is None or whole is None:
            continue
        crossing = float(whole.flatten(1).sum(1).mean()) if whole is found.audio_to_video else float(whole.sum(-1).mean())
        line = f"{crossing:.0%} {what}"
        if region is not None:
            mass, area = inside(maps, mask_coverage(region.reshape(-1, *region.shape[-2:])[0].cpu(), *maps.shape[1:]))
            line += f", {mass:.1%} of it to the region that is {area:.1%} of the picture" if area else "; the region is empty"
        lines.append(line)
    if found.video_to_audio is None:
        lines.append("the picture is given: it cannot hear the sound")
    return "\n".join(lines)
