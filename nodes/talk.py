"""Long clips of one or two people: stretches run one after another, finished ones kept, so that what was interrupted can go on."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import latent_preview
import torch
from torch import Tensor

from ..unitalking_core.conditions.long_script import Line
from ..unitalking_core.conditions.script import Script, estimate
from ..unitalking_core.stretches import LISTENING_SYNC, Levels, Stretch, Track
from .latents import INFO, ClipInfo, continuing_latent, finished_latent, joint_streams, model_config
from .report import say
from .sampler import Sampling, sample_clip

SEEDS = 2**64


@dataclass(frozen=True)
class Person:
    """`latent`: a LATENT of one clip's size, whose first picture is the portrait if it is given there."""

    description: str
    latent: dict
    voice: dict | None

    def portrait(self) -> Tensor | None:
        """The given first latent (1, C, 1, h, w). Raises ValueError for a latent that is not one clip with picture and sound."""
        video, _ = joint_streams(self.latent)
        mask = self.latent.get("noise_mask")
        if mask is None:
            return None
        mask = mask.unbind()[0] if getattr(mask, "is_nested", False) else mask
        return None if mask.reshape(-1, *mask.shape[-2:])[0].any() else video[:, :, :1]


@dataclass(frozen=True)
class Talk:
    """What all stretches have in common."""

    model: Any
    clip: Any
    audio_vae: Any
    negative: list
    how: Sampling
    context: float
    language: str | None
    pace: float


@dataclass
class Kept:
    """Finished stretches of one node: reused as long as the same model and inputs come again and the lines are the same so far."""

    objects: list[weakref.ref]
    inputs: str
    lines: list[Line]
    made: list[list[tuple[Tensor, Tensor]]]

    def serves(self, objects: Sequence[Any], inputs: str) -> bool:
        return self.inputs == inputs and all(ref() is o for ref, o in zip(self.objects, objects, strict=True))


KEPT: dict[str, Kept] = {}
"""By node; the nodes of one graph at most, as a node's own new run replaces its last."""
MOST_KEPT = 4


def talk(node: Any, run: Talk, people: Sequence[Person], lines: Sequence[Line]) -> tuple[list[dict], Tensor, str]:
    """One LATENT for every person, all of one length, the sound of whoever speaks (1, C, La), and a line on what was done.

    Raises ValueError for inputs of another kind. An interrupt passes through; what was finished is kept for the next run.
    """
    config = model_config(run.model)
    line = config.timeline
    for person in people:
        _nothing_given(person)
    tracks = [Track(line, person.portrait()) for person in people]
    heard = Track(line)
    kept = _kept(node, run, people, lines)
    before = min(len(kept.made), len(lines))
    preview = latent_preview.prepare_callback(run.model, len(lines) * len(people) * run.how.steps)
    starts: list[float] = []
    try:
        for number, spoken in enumerate(lines):
            need = estimate(spoken.speech, run.language, run.pace).seconds
            stretches = [track.next(need, config.sampling.seconds, run.context) for track in tracks]
            starts.append(heard.clip.seconds if heard.latents else 0.0)
            if number == len(kept.made):
                made = []
                for who, (person, track, stretch) in enumerate(zip(people, tracks, stretches, strict=True)):
                    words = spoken.speech if who == spoken.speaker else None
                    place = number * len(people) + who, len(lines) * len(people)
                    made.append(_run(run, person, track, stretch, words, place, preview))
                kept.made.append(made)
                kept.lines.append(spoken)
            made = kept.made[number]
            video, audio = made[spoken.speaker]
            heard = heard.joined(stretches[spoken.speaker], video[..., :1, :1], audio)  # sizes may differ; its picture is not used
            tracks = [track.joined(s, *m) for track, s, m in zip(tracks, stretches, made, strict=True)]
    except comfy.model_management.InterruptProcessingException:
        done = len(kept.made)
        advice = (
            f"{done} of {len(lines)} parts are kept. Run again with the same settings and seed to go on from there, or set 'parts' to "
            f"{done} to take them alone"
        )
        say(node, f"interrupted: {advice if done else 'the first part was not finished'}")
        raise
    assert heard.audio is not None  # there is at least one line
    levels = _levels(run.audio_vae, heard, starts)
    return [_latent(config, track, levels) for track in tracks], heard.audio, _story(config, heard, lines, before)


def _nothing_given(person: Person) -> None:
    """Raises ValueError for a latent with more of it given than a portrait."""
    info = person.latent.get(INFO)
    if info is not None and (info.audio is not None or info.video is not None):
        what = "a clip or a video" if info.video is not None else "speech"
        raise ValueError(f"{what} is given in this latent, which a script in parts cannot keep; use Joint Flow Sampler for it")


def _run(
    run: Talk, person: Person, track: Track, stretch: Stretch, words: str | None, place: tuple[int, int], preview: Any
) -> tuple[Tensor, Tensor]:
    """Video and audio of one stretch; a person without words is given silence, and listens."""
    config, steps = model_config(run.model), run.how.steps
    video, _ = joint_streams(person.latent)
    stride = config.video.spatial_stride
    known = track.given(stretch)
    pictures = video[:, :, :0] if known[0] is None else known[0]
    sound = torch.zeros(1, config.audio.channels, 0) if known[1] is None else known[1]
    how = replace(run.how, seed=(run.how.seed + place[0]) % SEEDS)
    if words is None:
        sound, how = _silence(run.audio_vae, stretch), replace(how, video_sync_scale=max(how.video_sync_scale, LISTENING_SYNC))
    latent = continuing_latent(ClipInfo(config, stretch.clip.frames), pictures, sound, video.shape[-1] * stride, video.shape[-2] * stride)
    prompt = Script(words or "", person.description).prompt
    positive = run.clip.encode_from_tokens_scheduled(run.clip.tokenize(prompt))

    def after_step(step: int, x0: Any, x: Any, total: int) -> None:
        preview(place[0] * steps + step, x0, x, place[1] * steps)

    return joint_streams(sample_clip(run.model, positive, run.negative, latent, person.voice if words else None, how, after_step))


def _silence(audio_vae: Any, stretch: Stretch) -> Tensor:
    tokens = stretch.clip.audio_tokens
    return audio_vae.encode_voice(torch.zeros(1, tokens * stretch.clip.timeline.samples_per_token))[..., :tokens]


def _levels(audio_vae: Any, heard: Track, starts: list[float]) -> Levels:
    waveform = audio_vae.decode_waveform(heard.audio)[0, :, : heard.clip.samples]
    return Levels.alike(waveform, heard.timeline.sample_rate, starts)


def _latent(config: Any, track: Track, levels: Levels) -> dict:
    return finished_latent(ClipInfo(config, track.clip.frames, levels=levels), track.video, track.audio)


def _story(config: Any, heard: Track, lines: Sequence[Line], kept: int) -> str:
    story = f"{len(lines)} part{'s' * (len(lines) > 1)}, {heard.clip.describe()}"
    return story + (f"; {kept} of the parts were there from the last run" if kept else "")


def _kept(node: Any, run: Talk, people: Sequence[Person], lines: Sequence[Line]) -> Kept:
    """What of the node's last run still holds."""
    objects = [run.model, run.clip, run.audio_vae]
    inputs = _digest(run.negative, repr((run.how, run.context, run.language, run.pace)), *_inputs(people))
    name = str(node.hidden.unique_id)
    last = KEPT.pop(name, None)
    if last is None or not last.serves(objects, inputs):
        last = Kept([weakref.ref(o) for o in objects], inputs, [], [])
    same = next((i for i, (a, b) in enumerate(zip(last.lines, lines, strict=False)) if a != b), len(last.lines))
    del last.lines[same:], last.made[same:]
    KEPT[name] = last
    while len(KEPT) > MOST_KEPT:
        del KEPT[next(iter(KEPT))]
    return last


def _inputs(people: Sequence[Person]) -> list[Any]:
    flat: list[Any] = []
    for person in people:
        video, _ = joint_streams(person.latent)
        portrait = person.portrait()
        flat += [person.description, repr(tuple(video.shape[-2:])), portrait, None if person.voice is None else person.voice["latent"]]
    return flat


def _digest(*things: Any) -> str:
    """A hash of tensors and texts, in lists and dicts of them."""
    total = hashlib.sha256()

    def add(x: Any) -> None:
        if isinstance(x, Tensor):
            total.update(repr((x.shape, x.dtype)).encode() + x.detach().float().cpu().contiguous().numpy().tobytes())
        elif isinstance(x, (list, tuple)):
            [add(y) for y in x]
        elif isinstance(x, dict):
            [add((key, x[key])) for key in sorted(x)]
        else:
            total.update(repr(x).encode())

    add(list(things))
    return total.hexdigest()
