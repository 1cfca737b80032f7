"""A script of any length without ComfyUI: cut at its sentences, spoken stretch by stretch, joined to one clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .conditions.long_script import cut
from .conditions.portrait import Fit, snap_size
from .conditions.script import Script, estimate
from .flow import Guidance
from .generate import GeneratedClip, Pipeline
from .latents import from_model_space
from .sampling import sample
from .stretches import Levels, Stretch, Track, room
from .tasks import TASKS

OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class LongClip:
    """The clip, what is said in which part of it, and where the parts begin, in seconds."""

    made: GeneratedClip
    parts: tuple[str, ...]
    starts: tuple[float, ...]


@torch.inference_mode()
def generate_long(
    pipeline: Pipeline,
    script: Script,
    *,
    portrait: Tensor | None = None,
    voice: tuple[Tensor, int] | None = None,
    size: tuple[int, int] | None = None,
    fit: Fit = "crop",
    seed: int = 0,
    steps: int | None = None,
    guidance: Guidance | None = None,
    context: float = 0.0,
    language: str | None = None,
    pace: float = 1.0,
    on_part: OnStep | None = None,
) -> LongClip:
    """Speak a whole script; the arguments are those of `Pipeline.generate` and `Track.next`. `on_part(done, total)` is called after each.

    Raises ScriptError, PortraitError, VoiceError (all ValueError) for input that cannot be used.
    """
    config = pipeline.config
    settings, longest = config.sampling, config.sampling.seconds
    parts = cut(script.speech, room(longest, context), language, pace)
    width, height = snap_size(*(size or (config.video.width, config.video.height)), config.size_step)
    anchor = None if portrait is None else pipeline.encode_portrait(portrait, width, height, fit)
    heard = None if voice is None else pipeline.encode_voice(*voice)
    guidance = guidance or Guidance(settings.text_scale, settings.text_scale)
    track, starts = Track(config.timeline, anchor), []
    stride = config.video.spatial_stride
    frame = (1, config.video.channels, height // stride, width // stride)
    for number, speech in enumerate(parts):
        stretch = track.next(estimate(speech, language, pace).seconds, longest, context)
        starts.append(track.clip.seconds if track.latents else 0.0)
        prompt = Script(speech, script.description).prompt
        video, audio = _laid_out(track, stretch, frame, config.audio.channels, pipeline.device)
        made = sample(
            pipeline,
            TASKS["continuation"],
            [prompt],
            video,
            audio,
            heard,
            seeds=[seed + number],
            steps=steps or settings.steps,
            guidance=guidance if heard is not None else guidance.without_voice(),
            prefix=stretch.known,
        )
        assert made[0] is not None  # a continuation has a picture
        track = track.joined(stretch, made[0], made[1])
        if on_part is not None:
            on_part(number + 1, len(parts))
    assert track.video is not None and track.audio is not None  # a script has at least one part
    waveform = pipeline.audio_codec.decode(from_model_space(track.audio, config.audio))[0, :, : track.clip.samples].cpu()
    levels = Levels.alike(waveform, config.audio.sample_rate, starts)
    video = from_model_space(track.video, config.video)
    clip = GeneratedClip(track.clip, video, levels.apply(waveform, config.audio.sample_rate), pipeline.video_codec)
    return LongClip(clip, tuple(parts), tuple(starts))


def _laid_out(
    track: Track, stretch: Stretch, frame: tuple[int, int, int, int], channels: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Latents of a stretch with what is known in its place, zeros elsewhere."""
    batch, depth, height, width = frame
    video = torch.zeros(batch, depth, stretch.clip.video_latents, height, width, device=device)
    audio = torch.zeros(batch, channels, stretch.clip.audio_tokens, device=device)
    seen, sounded = track.given(stretch)
    if seen is not None:
        video[:, :, : seen.shape[2]] = seen
    if sounded is not None:
        audio[..., : sounded.shape[-1]] = sounded
    return video, audio
