"""Looking at what was learned: clips sampled from a shipped checkpoint, as wave files and contact sheets.

Small on purpose. `generate` is the way for users, `evaluation` measures.
"""

from __future__ import annotations

import argparse
import wave
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..flow import Guidance
from ..generate import Pipeline
from ..latents import from_model_space, to_model_space
from ..sampling import sample
from ..tasks import TASKS
from .corpus import Item, read_clip_frames, read_clip_sound, read_manifest, read_voice


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
    guidance = Guidance(text_scale, text_scale)
    made = sample(pipeline, TASKS[task], [item.text], video, audio, voice, seeds=[seed], steps=steps, guidance=guidance)

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
