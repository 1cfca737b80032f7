"""How much of the sound's attention falls on the mouth, against the mouth's share of the picture: `python -m benchmarks.attention_maps`.

On held-out clips of a corpus whose mouths are known, noised to a few levels; the first picture is given, the voice is another recording's.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
from torch import Tensor

from unitalking_core.attention_maps import AttentionWatch, box_coverage, inside
from unitalking_core.cli import NANO
from unitalking_core.conditions.voice import fit_voice_tokens
from unitalking_core.flow import interpolate
from unitalking_core.generate import Pipeline
from unitalking_core.latents import to_model_space
from unitalking_core.tasks import TASKS, Given, Task
from unitalking_core.training.corpus import Item, in_training, read_clip_frames, read_clip_sound, read_manifest, read_voice
from unitalking_core.transformer.operations import attend as plain_attend


@torch.inference_mode()
def shares(pipeline: Pipeline, corpus: Path, item: Item, task: Task, level: float) -> tuple[list[tuple[float, float]], float]:
    """Of one clip, for all blocks together and then each: how often the mouth's share of the picture falls on it of the sound's attention
    and of the picture's listening. And that share."""
    config = pipeline.config
    frames = read_clip_frames(corpus, item)
    assert frames is not None and item.mouth_box is not None  # chosen so
    video = to_model_space(pipeline.video_codec.encode(frames), config.video)
    audio = _sound(pipeline, read_clip_sound(corpus, item))
    voice = fit_voice_tokens(_sound(pipeline, read_voice(corpus, item.voice_file)), config.audio.max_voice_tokens)
    masks = [m for m in task.masks(video.shape[2], audio.shape[2]) if m is not None]
    generator = torch.Generator().manual_seed(0)
    noisy = []
    for data, mask in zip((video, audio), masks, strict=True):
        s = (level * mask).view(1, 1, -1, *[1] * (data.ndim - 3))
        noisy.append(interpolate(data, torch.randn(data.shape, generator=generator), s))
    grid = tuple(-(-n // p) for n, p in zip(video.shape[2:], config.transformer.video_patch, strict=True))
    layers = config.transformer.layers
    watches = [AttentionWatch(grid, audio.shape[2], layers, block) for block in (None, *range(layers))]  # type: ignore[arg-type]
    attend = plain_attend
    for watch in watches:
        attend = watch.watching(attend)
    conditions = pipeline.transformer.prepare(pipeline.text_encoder.encode([item.text]), voice, torch.ones(1))
    pipeline.transformer(*noisy, *(1000 * level * m[None] for m in masks), conditions, attend=attend)
    coverage = box_coverage(item.mouth_box, *grid[1:])
    ratios = []
    for watch in watches:
        found = watch.result()
        maps = [m for m in (found.seen(config.timeline), found.heard(config.timeline)) if m is not None]
        looked, listening = (inside(m, coverage)[0] / float(coverage.mean()) for m in maps)
        ratios.append((looked, listening))
    return ratios, float(coverage.mean())


def _sound(pipeline: Pipeline, waveform: Tensor) -> Tensor:
    return to_model_space(pipeline.audio_codec.encode(waveform), pipeline.config.audio)


def main() -> None:
    """Print mean ratios over clips by noise level, for all blocks together and each alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=NANO)
    parser.add_argument("--corpus", type=Path, default=Path("corpora/nano"))
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--task", default="TIR2AV", choices=[n for n, t in TASKS.items() if Given.ABSENT not in (t.video, t.audio)])
    parser.add_argument("--levels", type=float, nargs="+", default=[0.3, 0.5, 0.7, 0.9])
    options = parser.parse_args()
    pipeline = Pipeline.load(options.checkpoint)
    items = [i for i in read_manifest(options.corpus) if not in_training(i.split) and i.mouth_box is not None][: options.clips]
    print(f"{options.checkpoint.name}, {options.task}, {len(items)} held-out clips; mass in the mouth's box / its share of the picture")
    for level in options.levels:
        rows = [shares(pipeline, options.corpus, item, TASKS[options.task], level) for item in items]
        print(f"noise {level:.2f}, the mouth is {statistics.mean(area for _, area in rows):.1%} of the picture")
        for place, name in enumerate(["all blocks", *(f"block {i}" for i in range(pipeline.config.transformer.layers))]):
            looked, listening = (statistics.mean(ratios[place][i] for ratios, _ in rows) for i in (0, 1))
            print(f"  {name:<10}  sound looks there {looked:5.2f} times as much as evenly, picture listens there {listening:5.2f} times")


if __name__ == "__main__":
    main()
