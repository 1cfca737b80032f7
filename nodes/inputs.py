"""The inputs that several nodes have, each defined once. `rest` goes on with the tooltip's sentence, where one node has more to say."""

from __future__ import annotations

from comfy_api.latest import io

from ..unitalking_core.conditions.script import languages

Voice = io.Custom("UNITALKING_VOICE")
"""{"latent": (1, C, L) as the audio VAE made it, or speaker vectors (1, S, N), "waveform": (1, N), "sample_rate", "codec": CodecId, what
made it, "name", "licence"}"""
AUTO = "auto"
LAID_OUT = "; its configuration says how clips are laid out"


def model(rest: str = "") -> io.Model.Input:
    return io.Model.Input("model", tooltip=f"The MODEL of Load UniTalking Model{rest}.")


def clip(rest: str, *, optional: bool = False) -> io.Clip.Input:
    return io.Clip.Input("clip", optional=optional, tooltip=f"The CLIP of Load UniTalking Model{rest}.")


def vae() -> io.Vae.Input:
    return io.Vae.Input("vae", tooltip="The VAE of Load UniTalking Model.")


def audio_vae(rest: str = "") -> io.Vae.Input:
    return io.Vae.Input("audio_vae", tooltip=f"The audio VAE of Load UniTalking Model{rest}.")


def voice(more: str = "", *, optional: bool = False) -> io.Input:
    return Voice.Input("voice", optional=optional, tooltip=f"From Encode Reference Voice or UniTalking Load Voice.{more}")


def negative() -> io.Conditioning.Input:
    return io.Conditioning.Input("negative", tooltip="What text guidance leads away from; an empty prompt will do.")


def description(name: str = "description", default: str = "a woman, clear voice, quiet room", rest: str = "") -> io.String.Input:
    return io.String.Input(name, multiline=True, default=default, tooltip=f"Who speaks, how, and what the room is like{rest}.")


def language() -> io.Combo.Input:
    tooltip = "How fast is spoken differs from language to language; auto guesses it from the words."
    return io.Combo.Input("language", options=[AUTO, *languages()], default=AUTO, advanced=True, tooltip=tooltip)


def pace(rest: str = "") -> io.Float.Input:
    tooltip = f"How fast your speaker is against the ordinary{rest}."
    return io.Float.Input("pace", default=1.0, min=0.5, max=2.0, step=0.05, advanced=True, tooltip=tooltip)


def known(language: str) -> str | None:
    """The language that was chosen; None for `auto`."""
    return None if language == AUTO else language
