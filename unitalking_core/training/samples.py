"""Looking at what was learned: clips sampled from a shipped checkpoint, as wave files and contact sheets.

Small on purpose: Euler steps and guidance by text. `generate` is the way for users.
"""

from __future__ import annotations

import argparse
import wave
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..conditions.voice import fit_voice_tokens
from ..flow import sample_euler, uniform_sigmas
from ..generate import Pipeline
from ..latents import from_model_space, to_model_space
from ..tasks import TASKS, Condition
from .corpus import Item, read_clip_frames, read_clip_sound, read_manifest, read_voice


@torch.no_grad()
def sample(
    pipeline: Pipeline,
    task_name: str,
    text: str,
    video: Tensor | None,
    audio: Tensor,
    voice: Tensor,
    *,
    steps: int,
    text_scale: float,
    seed: int,
) -> tuple[Tensor | None, Tensor]:
    """Latents in model space of one clip.

    `video` (1, C, T, h, w), `audio` (1, C, La) are the true ones, of which the task gives its part.
    """
    task, config = TASKS[task_name], pipeline.config
    generator = torch.Generator().manual_seed(seed)
    known_video = video if video is not None else torch.zeros(1, config.video.channels, 1, 1, 1)
    video_mask, audio_mask = task.masks(known_video.shape[2], audio.shape[2])
    assert audio_mask is not None  # no task is without sound
    shapes = [known_video.shape, audio.shape]
    noises = [torch.randn(shape, generator=generator) for shape in shapes]
    gate = torch.full((2,), float(Condition.VOICE in task.conditions | task.optional))
    rows = pipeline.transformer.prepare(
        pipeline.text_encoder.encode([text, ""]), fit_voice_tokens(voice, config.audio.max_voice_tokens).expand(2, -1, -1), gate
    )
    masks = [None if m is None else m.view(1, 1, -1, *[1] * (x.ndim - 3)) for m, x in zip((video_mask, audio_mask), noises, strict=True)]
    data = [known_video, audio]

    def velocity(flat: Tensor, s: float) -> Tensor:
        parts = [p.view(shape) for p, shape in zip(flat.split([n.numel() for n in noises]), shapes, strict=True)]
        parts = [p if m is None else m * p + (1 - m) * d for p, m, d in zip(parts, masks, data, strict=True)]
        picture = t_video = None
        if video_mask is not None:
            picture, t_video = parts[0].expand(2, -1, -1, -1, -1), 1000 * s * video_mask.expand(2, -1)
        outs = pipeline.transformer(
            picture, parts[1].expand(2, -1, -1), t_video, 1000 * s * audio_mask.expand(2, -1), rows, task.visibility
        )
        guided = [torch.zeros_like(p) if o is None else o[1:] + text_scale * (o[:1] - o[1:]) for o, p in zip(outs, parts, strict=True)]
        return torch.cat([g.flatten() for g in guided])

    *_, last = sample_euler(velocity, torch.cat([n.flatten() for n in noises]), uniform_sigmas(steps, config.sampling.shift))
    made = [p.view(shape) for p, shape in zip(last.split([n.numel() for n in noises]), shapes, strict=True)]
    made = [p if m is None else m * p + (1 - m) * d for p, m, d in zip(made, masks, data, strict=True)]
    return (None if video_mask is None else made[0]), made[1]


@torch.no_grad()
def sample_item(
    pipeline: Pipeline, corpus: Path, item: Item, task: str, *, steps: int, text_scale: float, seed: int
) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor]:
    """(frames, waveform) as generated, then (frames, waveform) of the truth through the codecs."""
    config = pipeline.config
    frames, sound = read_clip_frames(corpus, item), read_clip_sound(corpus, item)
    audio = to_model_space(pipeline.audio_codec.encode(sound), config.audio)
    voice = to_model_space(pipeline.audio_codec.encode(read_voice(corpus, item.voice_file)), config.audio)
    video = None if frames is None else to_model_space(pipeline.video_codec.encode(frames), config.video)
    made = sample(pipeline, task, item.text, video, audio, voice, steps=steps, text_scale=text_scale, seed=seed)

    def decode(picture: Tensor | None, speech: Tensor) -> tuple[Tensor | None, Tensor]:
        shown = None if picture is None else pipeline.video_codec.decode(from_model_space(picture, config.video))[0]
        return shown, pipeline.audio_codec.decode(from_model_space(speech, config.audio))[0, 0]

    return *decode(*made), *decode(video, audio)


def write_wave(path: Path, waveform: Tensor, rate: int) -> None:
    """waveform (N,) in [-1, 1] as 16-bit."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((waveform * 32767).round().to(torch.int16).numpy().tobytes())


def contact_sheet(clips: list[Tensor], every: int = 6) -> Image.Image:
    """Clips (3, F, H, W) in [-1, 1]: one row each, every n-th frame."""
    sheet = torch.cat([torch.cat(list(clip[:, ::every].unbind(1)), dim=2) for clip in clips], dim=1)
    return Image.fromarray(((sheet + 1) * 127.5).clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m unitalking_core.training.samples")
    parser.add_argument("checkpoint")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", default="TIR2AV", choices=sorted(TASKS))
    parser.add_argument("--split", default="heldout")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--text-scale", type=float, default=2.5)
    arguments = parser.parse_args()
    pipeline = Pipeline.load(arguments.checkpoint)
    items = [item for item in read_manifest(arguments.corpus) if item.split == arguments.split][: arguments.count]
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed, item in enumerate(items):
        made, speech, truth, true_speech = sample_item(
            pipeline, arguments.corpus, item, arguments.task, steps=arguments.steps, text_scale=arguments.text_scale, seed=seed
        )
        write_wave(arguments.out / f"{item.id}.wav", speech, pipeline.config.audio.sample_rate)
        write_wave(arguments.out / f"{item.id}.truth.wav", true_speech, pipeline.config.audio.sample_rate)
        rows += [clip for clip in (made, truth) if clip is not None]
    if rows:
        contact_sheet(rows).save(arguments.out / "sheet.png")


if __name__ == "__main__":
    main()
