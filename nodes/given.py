"""UniTalkingGiveSpeech, UniTalkingGiveVideo and UniTalkingContinueClip: what of a clip is there already."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch
from comfy_api.latest import InputImpl, io
from torch import Tensor

from ..unitalking_core.conditions.portrait import FITS, Fit, clip_size, fit_frames
from ..unitalking_core.conditions.recording import RecordingError, prepare_speech
from ..unitalking_core.timeline import Clip
from . import inputs
from .clip import LONGEST_SECONDS
from .clip_video import lasting
from .codecs import AudioVAE, require_audio_vae, require_video_vae
from .latents import (
    ClipInfo,
    GivenAudio,
    GivenVideo,
    clip_info,
    continuing_latent,
    joint_streams,
    model_config,
    with_audio_given,
    with_video_given,
)
from .report import say

LATENT_TOOLTIP = "From Encode Portrait or UniTalking Empty Clip. It takes on the length of what is given."


def _part(what: str) -> list[io.Input]:
    """The inputs that choose a part of a recording."""
    common = {"default": 0.0, "min": 0.0, "step": 0.1, "optional": True, "advanced": True}
    return [
        io.Float.Input("start", max=36000.0, tooltip=f"Seconds of the {what} to leave out in front.", **common),
        io.Float.Input("seconds", max=LONGEST_SECONDS, tooltip=f"How much of the {what} is taken; 0 takes all of it.", **common),
    ]


def _fit() -> io.Combo.Input:
    return io.Combo.Input(
        "fit",
        options=list(FITS[:2]),
        default="crop",
        advanced=True,
        optional=True,
        tooltip="How the frames are shown to the model: crop fills its frame and cuts what sticks out; pad shows all of them on grey.",
    )


class UniTalkingGiveSpeech(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniTalkingGiveSpeech",
            display_name="UniTalking Give Speech",
            category="UniTalking",
            description="Makes a recording the given sound of a clip: the sampler makes the picture that speaks it. The clip becomes as "
            "long as the recording, and the recording comes back untouched from Decode Audio-Video.",
            search_aliases=["audio to video", "lip sync", "talking head from audio", "speech to video"],
            inputs=[
                io.Latent.Input("latent", tooltip=LATENT_TOOLTIP),
                inputs.audio_vae(),
                io.Audio.Input("audio", tooltip="The speech, any number of channels and sample rate."),
                *_part("recording"),
            ],
            outputs=[io.Latent.Output(display_name="latent")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, latent: dict, audio_vae: Any, audio: dict[str, Any], start: float = 0.0, seconds: float = 0.0) -> io.NodeOutput:
        info = clip_info(latent)
        require_audio_vae(audio_vae, info.config.audio)
        joint_streams(latent)
        _nothing_else_given(info.video, "picture")
        if audio is None or audio.get("waveform") is None:
            raise RecordingError("there is no audio on this input; load or record the speech")
        rate = int(audio["sample_rate"])
        waveform = _cut(audio["waveform"][:1], rate, start, seconds)
        clip = _covering(info, Fraction(waveform.shape[-1], rate), "recording")
        spt = info.config.audio.samples_per_token
        heard, gain = prepare_speech(waveform[0], rate, info.config.audio.sample_rate, clip.audio_tokens * spt)
        encoded = audio_vae.encode_voice(heard)
        out = with_audio_given(latent, clip, encoded, GivenAudio(waveform, rate, encoded, gain=gain))
        report = f"speech of {waveform.shape[-1] / rate:.2f} s is given; the clip lasts {clip.describe()}{_beyond(info, clip)}"
        return io.NodeOutput(out, ui=say(cls, report))


class UniTalkingGiveVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniTalkingGiveVideo",
            display_name="UniTalking Give Video",
            category="UniTalking",
            description="Makes a video the given picture of a clip: the sampler makes the sound for it. The clip becomes as long as the "
            "video, and its frames come back untouched from Decode Audio-Video, in their own size and rate.",
            search_aliases=["video to audio", "dub", "voice over", "foley", "add sound"],
            inputs=[
                io.Latent.Input("latent", tooltip=LATENT_TOOLTIP),
                inputs.vae(),
                io.Video.Input("video", tooltip="From Load Video, or Create Video for a batch of images. Its own sound is not used."),
                *_part("video"),
                _fit(),
            ],
            outputs=[io.Latent.Output(display_name="latent")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, latent: dict, vae: Any, video: Any, start: float = 0.0, seconds: float = 0.0, fit: Fit = "crop") -> io.NodeOutput:
        info = clip_info(latent)
        require_video_vae(vae, info.config.video.channels, info.config.video)
        stream, _ = joint_streams(latent)
        _nothing_else_given(info.audio, "sound")
        video, images, fps, first = _frames_of(video, start, seconds)
        clip = _covering(info, len(images) / fps, "video")
        stride = info.config.video.spatial_stride
        size = stream.shape[-1] * stride, stream.shape[-2] * stride
        seen = images[info.config.timeline.frames_shown(clip.frames, fps, len(images))]
        encoded = vae.encode(fit_frames(seen, *size, fit))
        out = with_video_given(latent, clip, encoded, GivenVideo(video, range(first, first + len(images)), encoded))
        height, width = images.shape[1:3]
        report = (
            f"{len(images)} frames of {width}x{height} at {float(fps):g} fps are given, the model sees {size[0]}x{size[1]} ({fit}); "
            f"the clip lasts {clip.describe()}{_beyond(info, clip)}"
        )
        return io.NodeOutput(out, ui=say(cls, report))


class UniTalkingContinueClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniTalkingContinueClip",
            display_name="UniTalking Continue Clip",
            category="UniTalking",
            description="Goes on where a clip ends: its last moments, picture and sound, are given, what follows is generated. Decode "
            "Audio-Video returns the earlier clip and its continuation as one.",
            search_aliases=["extend video", "continuation", "video to video", "longer clip"],
            inputs=[
                inputs.model(inputs.LAID_OUT),
                inputs.vae(),
                inputs.audio_vae(),
                io.Video.Input("video", tooltip="The clip to go on from: from Load Video or Decode Audio-Video."),
                io.Float.Input("seconds", default=1.0, min=0.2, max=LONGEST_SECONDS, step=0.1, tooltip="How much is added."),
                io.Float.Input(
                    "context",
                    default=1.0,
                    min=0.2,
                    max=10.0,
                    step=0.1,
                    tooltip="Seconds at the end of the clip that the model sees and hears. Context and new part together should be about "
                    "as long as the model's own clips.",
                ),
                io.Boolean.Input(
                    "with_earlier",
                    default=True,
                    advanced=True,
                    tooltip="On: what is decoded begins with all of the earlier clip. Off: with the new part alone.",
                ),
                _fit(),
            ],
            outputs=[io.Latent.Output(display_name="latent")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, model: Any, vae: Any, audio_vae: Any, video: Any, seconds: float, context: float, with_earlier: bool, fit: Fit = "crop"
    ) -> io.NodeOutput:
        config = model_config(model)
        require_video_vae(vae, config.video.channels, config.video)
        require_audio_vae(audio_vae, config.audio)
        line = config.timeline
        components = video.get_components()
        fps = Fraction(components.frame_rate)
        total = max(1, int(len(components.images) / fps * line.exact_fps))
        shown = line.frames_shown(total, fps, len(components.images))
        wanted = line.clip_of_latents(round(Fraction(context) * line.latent_rate) + 1)
        seen = wanted if wanted.frames <= total else line.clip_of_frames(total)
        clip = line.clip(float(seen.exact_seconds) + seconds)
        frame = components.images.shape[2], components.images.shape[1]
        size = clip_size(frame, (config.video.width, config.video.height), config.size_step)
        encoded = vae.encode(fit_frames(components.images[shown[-seen.frames :]], *size, fit))
        first = 0 if with_earlier else total
        pictures = GivenVideo(video, shown[first:], encoded, None if size == frame else size, fit, replaces=seen.frames)
        sound = _earlier_sound(components.audio, total / line.exact_fps, seen, audio_vae, with_earlier)
        out = continuing_latent(ClipInfo(config, clip.frames, pictures, sound), encoded, sound.latent, *size)
        report = f"{seen.seconds:.2f} s of the clip's end are given, {clip.seconds - seen.seconds:.2f} s follow ({size[0]}x{size[1]})"
        report += "" if sound.latent.shape[-1] else "; the clip has no sound, none of it is given"
        return io.NodeOutput(out, ui=say(cls, report + _beyond(ClipInfo(config, clip.frames), clip)))


def _earlier_sound(audio: dict | None, lasts: Fraction, seen: Clip, audio_vae: AudioVAE, with_earlier: bool) -> GivenAudio:
    """The earlier clip's sound, `lasts` seconds long like its picture, and its last tokens as far as they lie within `seen`.

    A clip without sound was silent; none of its tokens are given.
    """
    line = seen.timeline
    waveform, rate = (
        (torch.zeros(1, 1, 0), line.sample_rate) if audio is None else (audio["waveform"][:1].float(), int(audio["sample_rate"]))
    )
    tokens = line.tokens_within(seen.exact_seconds) if waveform.shape[-1] else 0
    waveform = lasting(waveform, round(lasts * rate))
    latent, gain = torch.zeros(1, audio_vae.latent_channels, 0), 1.0
    if tokens:
        end = waveform[..., waveform.shape[-1] - round(seen.exact_seconds * rate) :]
        heard, gain = prepare_speech(end[0], rate, line.sample_rate, tokens * line.samples_per_token)
        latent = audio_vae.encode_voice(heard)
    replaces = round(seen.exact_seconds * line.sample_rate)
    return GivenAudio(waveform if with_earlier else waveform[..., :0], rate, latent, replaces, gain)


def _frames_of(video: Any, start: float, seconds: float) -> tuple[Any, Tensor, Fraction, int]:
    """A part of a VIDEO: where its frames come from again, the frames (F, H, W, 3), their rate, and which one is the first of them."""
    asked = start
    if isinstance(video, InputImpl.VideoFromFile) and (start or seconds):
        _, lasts = video.get_active_trim_window()
        left = max(lasts - start, 0.001) if lasts else 0.0
        video = video.as_trimmed(start, min(seconds, left) if seconds and left else seconds or left, strict_duration=False)
        start = 0.0
    components = video.get_components()
    fps = Fraction(components.frame_rate)
    images = components.images[..., :3]
    first = round(start * fps)
    images = images[first : first + round(seconds * fps)] if seconds else images[first:]
    if not len(images):
        raise ValueError(f"nothing is left of the video after {asked:g} s: it is shorter than that")
    return video, images, fps, first


def _cut(waveform: Tensor, rate: int, start: float, seconds: float) -> Tensor:
    first = round(start * rate)
    part = waveform[..., first : first + round(seconds * rate)] if seconds else waveform[..., first:]
    if not part.shape[-1]:
        raise RecordingError(f"nothing is left of the recording after {start:g} s: it lasts {waveform.shape[-1] / rate:.2f} s")
    return part


def _covering(info: ClipInfo, seconds: Fraction, what: str) -> Clip:
    if seconds > LONGEST_SECONDS:
        raise ValueError(
            f"the {what} lasts {float(seconds):.1f} s; {LONGEST_SECONDS:g} at a time are the most. Choose a part with 'start' and 'seconds'"
        )
    return info.config.timeline.covering(seconds)


def _beyond(info: ClipInfo, clip: Clip) -> str:
    """A warning where a clip is much longer than those the model was trained on."""
    own = info.config.sampling.seconds
    return f"\nthe model was trained on clips of {own:.1f} s: expect less of a longer one" if clip.seconds > 1.25 * own else ""


def _nothing_else_given(other: Any, name: str) -> None:
    if other is not None:
        raise ValueError(f"the {name} of this clip is given already: nothing would be left to generate")
