"""EncodeReferenceVoice and UniTalkingApplyVoice: whose voice is heard."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..unitalking_core.checkpoint import CheckpointError
from ..unitalking_core.conditions.speaker_encoder import LONGEST_SECONDS, SAMPLE_RATE, SOURCE, ReDimNet, load, speaker_vector
from ..unitalking_core.conditions.speakers import require_kind, together
from ..unitalking_core.conditions.voice import VoiceError, prepare_voice, whole_voice
from .codecs import require_audio_vae
from .files import SPEAKER_ENCODERS, folder_of, speaker_encoder_names, speaker_encoder_path
from .guider import with_voice
from .report import say

Voice = io.Custom("UNITALKING_VOICE")
FIRST = "first"


class EncodeReferenceVoice(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EncodeReferenceVoice",
            display_name="Encode Reference Voice",
            category="UniTalking",
            description="Turns 3 to 5 seconds of a recording into the voice the portrait speaks with. Mono or stereo, any sample rate. The "
            "checkpoint decides which kind of voice it becomes.",
            search_aliases=["voice clone", "speaker", "reference audio", "timbre"],
            inputs=[
                io.Audio.Input("audio", tooltip="3 to 5 seconds of one person speaking, without music."),
                io.Vae.Input("audio_vae", tooltip="The audio VAE of Load UniTalking Model."),
                io.Combo.Input(
                    "speaker_encoder",
                    options=[FIRST, *speaker_encoder_names()],
                    default=FIRST,
                    optional=True,
                    advanced=True,
                    tooltip="For NAVA's checkpoints alone: the speaker encoder in models/speaker_encoders; 'first' takes the first.",
                ),
                Voice.Input(
                    "earlier",
                    optional=True,
                    tooltip="For NAVA's checkpoints alone: the voice that speaks the spans <S>...<E> before this one's.",
                ),
            ],
            outputs=[Voice.Output(display_name="voice")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, audio: dict[str, Any], audio_vae: Any, speaker_encoder: str = FIRST, earlier: dict[str, Any] | None = None
    ) -> io.NodeOutput:
        config = require_audio_vae(audio_vae).unitalking
        if audio is None or audio.get("waveform") is None:
            raise VoiceError("there is no audio on this input; load or record 3 to 5 seconds of speech")
        recording = audio["waveform"][0], audio["sample_rate"]
        if config.transformer.speakers:
            voice = whole_voice(*recording, SAMPLE_RATE, LONGEST_SECONDS)
            latent = speaker_vector(_speaker_encoder(speaker_encoder), voice)
            if earlier is not None:
                require_kind(earlier["latent"], config)
                latent = together(earlier["latent"], latent)
            require_kind(latent, config)
        elif earlier is not None:
            raise VoiceError(f"the checkpoint '{config.name}' takes one voice: leave the input 'earlier' empty")
        else:
            longest = config.audio.max_voice_tokens * config.audio.samples_per_token / config.audio.sample_rate
            voice = prepare_voice(*recording, config.audio.sample_rate, longest)
            latent = audio_vae.encode_voice(voice.waveform)
        say(cls, voice.report)
        return io.NodeOutput({"latent": latent, "waveform": voice.waveform, "sample_rate": voice.sample_rate})


def _speaker_encoder(choice: str) -> ReDimNet:
    """A small network, run on the CPU. Raises CheckpointError that says where it belongs and where to get it."""
    names = speaker_encoder_names()
    if choice == FIRST and not names:
        raise CheckpointError(f"this checkpoint's voices need a speaker encoder in {folder_of(SPEAKER_ENCODERS)}: {SOURCE}")
    return load(speaker_encoder_path(names[0] if choice == FIRST else choice))


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
