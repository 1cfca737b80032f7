"""UniTalkingLongClip and UniTalkingDialogue: scripts longer than the model's own clips, for one person and for two."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..unitalking_core.conditions.long_script import Line, cut, dialogue
from ..unitalking_core.conditions.script import parse, plain_description
from ..unitalking_core.stretches import room
from . import inputs
from .codecs import require_audio_vae
from .latents import INFO, finished_latent, joint_streams, model_config
from .report import say
from .sampler import Sampling, sampling_inputs
from .talk import Person, Talk, talk

IN_EVERY_PROMPT = "; part of every prompt"
LATENT_TOOLTIP = "From Encode Portrait, or UniTalking Empty Clip for a face of the model's own. Its length does not matter."


def _common() -> list[io.Input]:
    return [
        inputs.model(),
        inputs.clip(": every part of the script is a prompt of its own"),
        inputs.audio_vae(),
        inputs.negative(),
    ]


def _script(default: str, tooltip: str) -> io.String.Input:
    return io.String.Input("script", multiline=True, default=default, tooltip=tooltip)


def _rest() -> list[io.Input]:
    return [
        *sampling_inputs(),
        io.Float.Input(
            "context",
            default=0.0,
            min=0.0,
            max=5.0,
            step=0.1,
            advanced=True,
            tooltip="Seconds of what is there already that every part sees and hears; 0 takes a sixth of the model's own length. "
            "More joins better and leaves less room for words.",
        ),
        inputs.language(),
        inputs.pace(),
        io.Int.Input(
            "parts",
            default=0,
            min=0,
            max=9999,
            advanced=True,
            tooltip="Make only so many parts of the script; 0 makes all. Parts of the last run are not made again.",
        ),
    ]


def _talk(model: Any, clip: Any, audio_vae: Any, negative: list, context: float, language: str, pace: float, sampling: dict) -> Talk:
    require_audio_vae(audio_vae, model_config(model).audio)
    how = Sampling.of(model_config(model), sampling)
    return Talk(model, clip, audio_vae, negative, how, context, inputs.known(language), pace)


def _parts(run: Talk, lines: list[Line], parts: int) -> list[Line]:
    """Lines cut to what the model can say at a time, as many as are wanted."""
    longest = room(model_config(run.model).sampling.seconds, run.context)
    found = [Line(line.speaker, part) for line in lines for part in cut(line.speech, longest, run.language, run.pace)]
    return found[:parts] if parts else found


class UniTalkingLongClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniTalkingLongClip",
            display_name="UniTalking Long Clip",
            category="UniTalking",
            description="Speaks a script of any length: it is cut at its sentences, and every part goes on from the end of the one "
            "before, with the same portrait and voice. The parts become one clip. What is finished when a run is stopped is kept.",
            search_aliases=["long video", "script", "extend", "infinite length", "monologue"],
            inputs=[
                *_common(),
                io.Latent.Input("latent", tooltip=LATENT_TOOLTIP),
                inputs.voice(optional=True),
                _script("My sister loves the golden book.\nThe red bird sings.", "All that is said. New lines end sentences."),
                inputs.description(rest=IN_EVERY_PROMPT),
                *_rest(),
            ],
            outputs=[io.Latent.Output(display_name="latent")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        audio_vae: Any,
        negative: list,
        latent: dict,
        script: str,
        description: str,
        context: float,
        language: str,
        pace: float,
        parts: int,
        voice: dict | None = None,
        **sampling: Any,
    ) -> io.NodeOutput:
        run = _talk(model, clip, audio_vae, negative, context, language, pace, sampling)
        spoken = parse(script, description)
        lines = _parts(run, [Line(0, spoken.speech)], parts)
        (out,), _, story = talk(cls, run, [Person(spoken.description, latent, voice)], lines)
        return io.NodeOutput(out, ui=say(cls, story + "".join(f"\n{i}. {line.speech}" for i, line in enumerate(lines, start=1))))


class UniTalkingDialogue(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniTalkingDialogue",
            display_name="UniTalking Dialogue",
            category="UniTalking",
            description="Two people talk in turns. Each has a region of the picture, a portrait and a voice; in every turn the speaker's "
            "region is made with the words, and the other one's with silence. Side by side they become one clip.",
            search_aliases=["two people", "conversation", "multi-person", "interview", "podcast"],
            inputs=[
                *_common(),
                io.Latent.Input("latent_a", tooltip=f"The first person, on the left. {LATENT_TOOLTIP}"),
                io.Latent.Input("latent_b", tooltip="The second person, on the right; of the same height."),
                inputs.Voice.Input("voice_a", optional=True, tooltip="The first person's voice."),
                inputs.Voice.Input("voice_b", optional=True, tooltip="The second person's voice."),
                _script(
                    "A: My sister loves the golden book.\nB: The red bird sings.",
                    "Lines with their speaker: 'A: hello' and 'B: good morning'. Other names are numbered as they appear.",
                ),
                inputs.description("description_a", rest=IN_EVERY_PROMPT),
                inputs.description("description_b", "a man, deep voice, quiet room", IN_EVERY_PROMPT),
                *_rest(),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="Both side by side, with the sound of whoever speaks."),
                io.Latent.Output(display_name="latent A", tooltip="The first person alone, silent while listening."),
                io.Latent.Output(display_name="latent B", tooltip="The second person alone, silent while listening."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        audio_vae: Any,
        negative: list,
        latent_a: dict,
        latent_b: dict,
        script: str,
        description_a: str,
        description_b: str,
        context: float,
        language: str,
        pace: float,
        parts: int,
        voice_a: dict | None = None,
        voice_b: dict | None = None,
        **sampling: Any,
    ) -> io.NodeOutput:
        run = _talk(model, clip, audio_vae, negative, context, language, pace, sampling)
        sizes = [tuple(joint_streams(latent)[0].shape[-2:]) for latent in (latent_a, latent_b)]
        if sizes[0][0] != sizes[1][0]:
            stride = model_config(model).video.spatial_stride
            heights = " and ".join(str(size[0] * stride) for size in sizes)
            raise ValueError(f"the two portraits have different heights ({heights} pixels); set the sizes of both Encode Portrait nodes")
        found, names = dialogue(script)
        lines = _parts(run, found, parts)
        people = [
            Person(plain_description(description_a), latent_a, voice_a),
            Person(plain_description(description_b), latent_b, voice_b),
        ]
        alone, heard, story = talk(cls, run, people, lines)
        videos = [joint_streams(latent)[0] for latent in alone]
        both = finished_latent(alone[0][INFO], torch.cat(videos, dim=-1), heard)
        turns = "".join(f"\n{i}. {names[line.speaker]}: {line.speech}" for i, line in enumerate(lines, start=1))
        return io.NodeOutput(both, *alone, ui=say(cls, story + turns))
