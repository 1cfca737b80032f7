"""A script of any length without ComfyUI: cut at its sentences, spoken stretch by stretch, joined to one clip; by one or in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .conditions.long_script import Line, cut
from .conditions.portrait import Fit, snap_size
from .conditions.script import Script, estimate
from .flow import Guidance
from .generate import GeneratedClip, Pipeline
from .latents import from_model_space, to_model_space
from .sampling import sample
from .stretches import LISTENING_SYNC, Levels, Stretch, Track, room
from .tasks import TASKS

OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class Person:
    """Who talks: a description as in a prompt, a portrait (H, W, C) in [0, 1], a voice: waveform (channels, N) and its rate in Hz."""

    description: str
    portrait: Tensor | None = None
    voice: tuple[Tensor, int] | None = None


@dataclass(frozen=True)
class LongClip:
    """One clip for every person, all with the same sound, the lines, and where each of them begins, in seconds."""

    clips: tuple[GeneratedClip, ...]
    lines: tuple[Line, ...]
    starts: tuple[float, ...]


def generate_long(
    pipeline: Pipeline,
    script: Script,
    *,
    portrait: Tensor | None = None,
    voice: tuple[Tensor, int] | None = None,
    context: float = 0.0,
    language: str | None = None,
    pace: float = 1.0,
    **settings: Any,
) -> LongClip:
    """Speak a whole script: `generate_dialogue` of one person, whose script is cut to lines that fit the model's length."""
    parts = cut(script.speech, room(pipeline.config.sampling.seconds, context), language, pace)
    people, lines = [Person(script.description, portrait, voice)], [Line(0, part) for part in parts]
    return generate_dialogue(pipeline, people, lines, context=context, language=language, pace=pace, **settings)


@torch.inference_mode()
def generate_dialogue(
    pipeline: Pipeline,
    people: Sequence[Person],
    lines: Sequence[Line],
    *,
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
    """Speak lines in turns; the arguments are those of `Pipeline.generate` and `Track.next`. `on_part(done, total)` is called after each.

    At every line each person gets a stretch of the same length: the speaker with the words, the others with silence as their given sound.
    Raises ScriptError, PortraitError, VoiceError (all ValueError) for input that cannot be used.
    """
    config = pipeline.config
    settings, stride = config.sampling, config.video.spatial_stride
    width, height = snap_size(*(size or (config.video.width, config.video.height)), config.size_step)
    frame = (1, config.video.channels, height // stride, width // stride)
    portraits = [None if who.portrait is None else pipeline.encode_portrait(who.portrait, width, height, fit) for who in people]
    voices = [None if who.voice is None else pipeline.encode_voice(*who.voice) for who in people]
    guidance, steps = guidance or Guidance.of(settings), steps or settings.steps
    listening = replace(guidance.without_voice(), sync_video=max(guidance.sync_video, LISTENING_SYNC))
    tracks, heard, starts = [Track(config.timeline, portrait) for portrait in portraits], Track(config.timeline), []
    for number, line in enumerate(lines):
        need = estimate(line.speech, language, pace).seconds
        starts.append(heard.clip.seconds if heard.latents else 0.0)
        for who, (person, track, voice) in enumerate(zip(people, tracks, voices, strict=True)):
            speaks = who == line.speaker
            stretch = track.next(need, settings.seconds, context)
            video, audio = _laid_out(track, stretch, frame, config.audio.channels, pipeline.device)
            tokens = stretch.known[1]
            if not speaks:
                audio, tokens = _silence(pipeline, stretch), stretch.clip.audio_tokens
            made_video, made_audio = sample(
                pipeline,
                TASKS["continuation"],
                [Script(line.speech if speaks else "", person.description).prompt],
                video,
                audio,
                voice if speaks else None,
                seeds=[seed + number * len(people) + who],
                steps=steps,
                guidance=listening if not speaks else guidance.without_voice() if voice is None else guidance,
                prefix=(stretch.known[0], tokens),
            )
            assert made_video is not None  # a continuation has a picture
            tracks[who] = track.joined(stretch, made_video, made_audio)
            if speaks:
                spoken = stretch, made_video, made_audio
        heard = heard.joined(*spoken)
        if on_part is not None:
            on_part(number + 1, len(lines))
    assert heard.audio is not None  # there is at least one line
    rate, clip = config.audio.sample_rate, heard.clip
    waveform = pipeline.audio_codec.decode(from_model_space(heard.audio, config.audio))[0, :, : clip.samples].cpu()
    waveform = Levels.alike(waveform, rate, starts).apply(waveform, rate)
    videos = [from_model_space(track.video, config.video) for track in tracks if track.video is not None]
    return LongClip(tuple(GeneratedClip(clip, v, waveform, pipeline.video_codec) for v in videos), tuple(lines), tuple(starts))


def _silence(pipeline: Pipeline, stretch: Stretch) -> Tensor:
    """The latent of a stretch's length of silence (1, C, La), in model space."""
    audio, tokens = pipeline.config.audio, stretch.clip.audio_tokens
    silent = torch.zeros(1, 1, tokens * audio.samples_per_token, device=pipeline.device)
    return to_model_space(pipeline.audio_codec.encode(silent), audio)[..., :tokens]


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
