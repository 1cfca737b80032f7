"""EncodeReferenceVoice and UniTalkingApplyVoice: whose voice is heard."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..unitalking_core.conditions.voice import VoiceError, prepare_voice
from .codecs import require_audio_vae
from .guider import with_voice
from .report import say

Voice = io.Custom("UNITALKING_VOICE")


class EncodeReferenceVoice(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EncodeReferenceVoice",
            display_name="Encode Reference Voice",
            category="UniTalking",
            description="Turns 3 to 5 seconds of a recording into the voice the portrait speaks with. Mono or stereo, any sample rate; "
            "silence at both ends is cut and the loudness is set.",
            search_aliases=["voice clone", "speaker", "reference audio", "timbre"],
            inputs=[
                io.Audio.Input("audio", tooltip="3 to 5 seconds of one person speaking, without music."),
                io.Vae.Input("audio_vae", tooltip="The audio VAE of Load UniTalking Model."),
            ],
            outputs=[Voice.Output(display_name="voice")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, audio: dict[str, Any], audio_vae: Any) -> io.NodeOutput:
        require_audio_vae(audio_vae)
        if audio is None or audio.get("waveform") is None:
            raise VoiceError("there is no audio on this input; load or record 3 to 5 seconds of speech")
        config = audio_vae.unitalking.audio
        longest = config.max_voice_tokens * config.samples_per_token / config.sample_rate
        voice = prepare_voice(audio["waveform"][0], audio["sample_rate"], config.sample_rate, longest)
        say(cls, voice.report)
        latent = audio_vae.encode_voice(voice.waveform)
        return io.NodeOutput({"latent": latent, "waveform": voice.waveform, "sample_rate": voice.sample_rate})


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
                Voice.Input("voice", tooltip="From Encode Reference Voice."),
            ],
            outputs=[io.Conditioning.Output(display_name="conditioning")],
        )

    @classmethod
    def execute(cls, conditioning: list, voice: dict[str, Any]) -> io.NodeOutput:
        return io.NodeOutput(with_voice(conditioning, voice["latent"]))
