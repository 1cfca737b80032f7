"""EncodeReferenceVoice and UniTalkingApplyVoice: whose voice is heard."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..unitalking_core.checkpoint import CheckpointError
from ..unitalking_core.conditions.speaker_encoder import LONGEST_SECONDS, SAMPLE_RATE, SOURCE, ReDimNet, load, speaker_vector
from ..unitalking_core.conditions.speakers import require_kind, together
from ..unitalking_core.conditions.voice import FINDS, Find, VoiceError, prepare_voice, whole_voice
from ..unitalking_core.conditions.voice_file import codec_id, encoder_id, is_speaker_vector
from ..unitalking_core.config import ModelConfig
from . import inputs
from .codecs import require_audio_vae
from .files import SPEAKER_ENCODERS, folder_of, speaker_encoder_names, speaker_encoder_path
from .guider import with_voice
from .report import say

FIRST = "first"


class EncodeReferenceVoice(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EncodeReferenceVoice",
            display_name="Encode Reference Voice",
            category="UniTalking",
            description="Turns a few seconds of a recording into the voice the portrait speaks with. Any number of channels, sample rate "
            "and length: speech is found, the best few seconds of it are kept, the loudness is set. Plays what was kept. The checkpoint "
            "decides which kind of voice it becomes.",
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
                    tooltip="speech keeps what is spoken; sound keeps all from the first to the last loud moment: a whisper, a song. NAVA "
                    "hears the recording as it is.",
                ),
                io.Combo.Input(
                    "speaker_encoder",
                    options=[FIRST, *speaker_encoder_names()],
                    default=FIRST,
                    optional=True,
                    advanced=True,
                    tooltip="For NAVA's checkpoints alone: the speaker encoder in models/speaker_encoders; 'first' takes the first.",
                ),
                inputs.Voice.Input(
                    "earlier",
                    optional=True,
                    tooltip="For NAVA's checkpoints alone: the voice that speaks the spans <S>...<E> before this one's.",
                ),
            ],
            outputs=[inputs.Voice.Output(display_name="voice")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        audio: dict[str, Any],
        audio_vae: Any,
        find: Find = "speech",
        speaker_encoder: str = FIRST,
        earlier: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        config = require_audio_vae(audio_vae).unitalking
        if audio is None or audio.get("waveform") is None:
            raise VoiceError("there is no audio on this input; load or record 3 to 5 seconds of speech")
        recording = audio["waveform"][0], audio["sample_rate"]
        if config.transformer.speakers:
            encoder = _speaker_encoder(speaker_encoder)
            voice = whole_voice(*recording, SAMPLE_RATE, LONGEST_SECONDS)
            latent, made_by = speaker_vector(encoder, voice), encoder_id(encoder)
            if earlier is not None:
                require_voice(earlier, config)
                latent = together(earlier["latent"], latent)
            require_kind(latent, config)
        elif earlier is not None:
            raise VoiceError(f"the checkpoint '{config.name}' takes one voice: leave the input 'earlier' empty")
        else:
            longest = config.audio.max_voice_tokens * config.audio.samples_per_token / config.audio.sample_rate
            voice = prepare_voice(*recording, config.audio.sample_rate, longest, find)
            latent, made_by = audio_vae.encode_voice(voice.waveform), codec_id(config.audio, audio_vae.first_stage_model)
        kept = {"waveform": voice.waveform, "sample_rate": voice.sample_rate}
        out = {"latent": latent, **kept, "codec": made_by, "name": "", "licence": ""}
        return io.NodeOutput(out, ui=say(cls, voice.report, **heard(kept)))


def _speaker_encoder(choice: str) -> ReDimNet:
    """A small network, run on the CPU. Raises CheckpointError that says where it belongs and where to get it."""
    names = speaker_encoder_names()
    if choice == FIRST and not names:
        raise CheckpointError(f"this checkpoint's voices need a speaker encoder in {folder_of(SPEAKER_ENCODERS)}: {SOURCE}")
    return load(speaker_encoder_path(names[0] if choice == FIRST else choice))


def require_voice(voice: dict[str, Any], config: ModelConfig) -> None:
    """Raises VoiceError for a voice of another kind than the model's, or that another kind of audio codec made."""
    made_by, own = voice["codec"], config.audio
    if config.transformer.speakers or is_speaker_vector(made_by):
        require_kind(voice["latent"], config)
    elif (made_by.name, made_by.channels, made_by.sample_rate) != (own.codec, own.channels, own.sample_rate):
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
