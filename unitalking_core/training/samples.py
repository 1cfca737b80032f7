"""Looking at what was learned: clips sampled from a checkpoint or from a run that goes on, and the same clips as they truly are.

Small on purpose: Euler steps and guidance by text. `generate` is the way for users.
"""

from __future__ import annotations

import argparse
import wave
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..flow import Guidance
from ..generate import Pipeline
from ..latents import from_model_space, to_model_space
from ..media import write_clip
from ..sampling import sample
from ..tasks import TASKS, Given
from .corpus import Item, in_training, read_clip_frames, read_clip_pixels, read_clip_sound, read_manifest, read_voice_of

if TYPE_CHECKING:
    from PIL import Image


@torch.no_grad()
def sample_item(
    pipeline: Pipeline, corpus: Path, item: Item, task: str, *, steps: int, text_scale: float, seed: int
) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor]:
    """(frames, waveform) as generated, then (frames, waveform) of the truth through the codecs. A given prefix is half of the clip."""
    config = pipeline.config
    frames = None if TASKS[task].video is Given.ABSENT else read_clip_frames(corpus, item)
    sound = read_clip_sound(corpus, item, config.audio.sample_rate)
    audio = to_model_space(pipeline.audio_codec.encode(sound), config.audio)
    voice = to_model_space(pipeline.audio_codec.encode(read_voice_of(corpus, item, config.audio.sample_rate)), config.audio)
    video = None if frames is None else to_model_space(pipeline.video_codec.encode(frames), config.video)
    half = 1 if video is None else max(1, video.shape[2] // 2)
    made = sample(
        pipeline, TASKS[task], [item.text], video, audio, voice, seeds=[seed], steps=steps, guidance=Guidance(text_scale, text_scale),
        prefix=(half, config.timeline.clip_of_latents(half).audio_tokens),
    )  # fmt: skip

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
        file.writeframes((waveform.clamp(-1, 1) * 32767).round().to(torch.int16).numpy().tobytes())


def contact_sheet(clips: Sequence[Tensor], every: int = 6) -> Image.Image:
    """Clips (3, F, H, W) in [-1, 1]: one row each, every n-th frame; shorter clips end in black."""
    from PIL import Image

    rows = [torch.cat(list(clip[:, ::every].unbind(1)), dim=2) for clip in clips]
    longest = max(row.shape[2] for row in rows)
    sheet = torch.cat([F.pad(row, (0, longest - row.shape[2]), value=-1.0) for row in rows], dim=1)
    return Image.fromarray(((sheet + 1) * 127.5).clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy())


def held_out(corpus: Path, count: int, task: str) -> list[Item]:
    """The first clips of the corpus that are not for training and have what the task needs."""
    needs_video = TASKS[task].video is not Given.ABSENT
    items = (item for item in read_manifest(corpus) if not in_training(item.split))
    return list(islice((i for i in items if not needs_video or read_clip_pixels(corpus, i) is not None), count))


def write_samples(
    pipeline: Pipeline, corpus: Path, items: Sequence[Item], task: str, out: Path, *, steps: int = 24, text_scale: float = 2.5
) -> None:
    """For every item ID.mp4 as generated and ID.truth.mp4 through the codecs, or .wav where the task has no video.

    Beside them what is said, `texts.tsv`, and `sheet.png`, a row for each clip.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed, item in enumerate(items):
        made, speech, truth, true_speech = sample_item(pipeline, corpus, item, task, steps=steps, text_scale=text_scale, seed=seed)
        for name, frames, sound in ((item.id, made, speech), (f"{item.id}.truth", truth, true_speech)):
            if frames is None:
                write_wave(out / f"{name}.wav", sound, pipeline.config.audio.sample_rate)
                continue
            pixels = ((frames + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 3, 0)
            clip = pipeline.config.timeline.clip_of_frames(len(pixels))
            rate = clip.timeline.sample_rate
            write_clip(out / f"{name}.mp4", [pixels], sound[None, : clip.samples], fps=clip.timeline.exact_fps, sample_rate=rate)
            rows.append(frames)
    (out / "texts.tsv").write_text("".join(f"{item.id}\t{item.text}\n" for item in items), encoding="utf-8")
    if rows:
        contact_sheet(rows).save(out / "sheet.png")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m unitalking_core.training.samples")
    parser.add_argument("checkpoint")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", default="TIR2AV", choices=sorted(TASKS))
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--text-scale", type=float, default=2.5)
    options = parser.parse_args()
    write_samples(
        Pipeline.load(options.checkpoint), options.corpus, held_out(options.corpus, options.count, options.task), options.task, options.out,
        steps=options.steps, text_scale=options.text_scale,
    )  # fmt: skip


if __name__ == "__main__":
    main()
