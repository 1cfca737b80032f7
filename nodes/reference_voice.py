"""EncodeReferenceVoice and UniTalkingApplyVoice: whose voice is heard."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..unitalking_core.conditions.voice import FINDS, Find, VoiceError, prepare_voice
from ..unitalking_core.conditions.voice_file import codec_id
from ..unitalking_core.config import ModelConfig
from . import inputs
from .codecs import require_audio_vae
from .guider import with_voice
from .report import say


class EncodeReferenceVoice(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EncodeReferenceVoice",
            display_name="Encode Reference Voice",
            category="UniTalking",
            description="Turns a few seconds of a recording into the voice the portrait speaks with. Any number of channels, sample rate "
            "and length: speech is found, the best few seconds of it are kept, the loudness is set. Plays what was kept.",
            search_aliases=["voice clone", "speaker", "reference audio", "timbre"],
            inputs=[
                io.Audio.Input("audio", tooltip="One person speaking, without music; 3 to 5 seconds are enough."),
                inputs.audio_vae(),
                io.Combo.Input(
                    "find",
                    options=list(FINDS),
                    default="speech",
                    advanced=True,
                    optional=True,
                    tooltip="speech keeps what is spoken; sound keeps all from the first to the last loud moment: a whisper, a song.",
                ),
            ],
            outputs=[inputs.Voice.Output(display_name="voice")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, audio: dict[str, Any], audio_vae: Any, find: Find = "speech") -> io.NodeOutput:
        require_audio_vae(audio_vae)
        if audio is None or audio.get("waveform") is None:
            raise VoiceError("there is no audio on this input; load or record 3 to 5 seconds of speech")
        config = audio_vae.unitalking.audio
        longest = config.max_voice_tokens * config.samples_per_token / config.sample_rate
        voice = prepare_voice(audio["waveform"][0], audio["sample_rate"], config.sample_rate, longest, find)
        kept = {"waveform": voice.waveform, "sample_rate": voice.sample_rate}
        out = {"latent": audio_vae.encode_voice(voice.waveform), **kept, "name": "", "licence": ""}
        out["codec"] = codec_id(config, audio_vae.first_stage_model)
        return io.NodeOutput(out, ui=say(cls, voice.report, **heard(kept)))


def require_voice(voice: dict[str, Any], config: ModelConfig) -> None:
    """Raises VoiceError for a voice that was made by another kind of audio codec than the model's."""
    made_by, own = voice["codec"], config.audio
    if (made_by.name, made_by.channels, made_by.sample_rate) != (own.codec, own.channels, own.sample_rate):
        raise VoiceError(
            f"this voice was made by the audio codec {made_by}, the model's is {own.codec}: encode it with the model's audio VAE"
        )


def heard(kept: dict[str, Any]) -> dict[str, Any]:
    """The preview of a voice, played on the node."""
    return ui.PreviewAudio({**kept, "waveform": kept["waveform"][None]}).as_dict()


class UniTalkingApplyVoice(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniTalkingApplyVoice",
            display_name="UniTalking Apply Voice",
            category="UniTalking",
            description="Puts a reference voice on a conditioning, for core samplers such as KSampler. Put it on the positive and on the "
            "negative one. Joint Flow Sampler does this by itself.",
            search_aliases=["voice conditioning"],
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="A prompt encoded with UniTalking's CLIP."),
                inputs.voice(),
            ],
            outputs=[io.Conditioning.Output(display_name="conditioning")],
        )

    @classmethod
    def execute(cls, conditioning: list, voice: dict[str, Any]) -> io.NodeOutput:
        return io.NodeOutput(with_voice(conditioning, voice["latent"]))
