"""A long clip of a checkpoint, and whether it jumps where its parts meet: `python -m benchmarks.long_clip`.

What is written can be looked at. With `--tools` (and the evaluation's Python) outside tools also measure the face over the borders, and
how each part's mouth follows its sound.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from unitalking_core.cli import NANO
from unitalking_core.conditions.script import Script
from unitalking_core.evaluation.seams import seams
from unitalking_core.generate import Pipeline
from unitalking_core.long import LongClip, generate_long
from unitalking_core.media import write_clip
from unitalking_core.reading import read_audio, read_image

EXAMPLES = NANO.parent / "examples"
WORDS = (
    "my sister loves the golden book",
    "the red bird sings in the garden",
    "we walk home together tonight",
    "the old farmer makes dinner",
)
DESCRIPTION = "a woman with long brown hair and brown skin in a navy jacket, clear voice, quiet room"


def main() -> None:
    """Make it, write it, and print every change at the borders beside the same inside."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=NANO)
    parser.add_argument("--parts", type=int, default=15, help="sentences; nano's parts last about two seconds")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--tools", type=Path, help="the evaluation's tools, .host/evaluation")
    parser.add_argument("--out", type=Path, default=Path("runs/long.mp4"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pipeline = Pipeline.load(options.checkpoint)
    words = "\n".join(f"{WORDS[i % len(WORDS)]}." for i in range(options.parts))
    long = generate_long(
        pipeline,
        Script(words, DESCRIPTION),
        portrait=read_image(EXAMPLES / "portrait_woman.png"),
        voice=read_audio(EXAMPLES / "voice_woman.wav"),
        steps=options.steps,
        seed=options.seed,
        on_part=lambda done, total: print(f"part {done} of {total}", flush=True),
    )
    clip, line = long.clips[0], pipeline.config.timeline
    frames = torch.cat(list(clip.frames()))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_clip(options.out, [frames], clip.waveform, fps=line.exact_fps, sample_rate=line.sample_rate)
    print(f"{options.out}: {clip.clip.describe()}, {len(long.lines)} parts")
    pixels, stride = frames.float() / 255, line.temporal_stride
    for seam in seams(pixels, line.fps, clip.waveform, line.sample_rate, long.starts[1:], stride):
        print(seam.line())
    if options.tools is not None:
        _outside(long, options.out, options.tools)


def _outside(long: LongClip, out: Path, tools: Path) -> None:
    """Print what the tools of the evaluation say of the parts."""
    from benchmarks.turns import Reader, fit, mean

    reader = Reader(out.with_suffix(""), tools)
    borders, inside = reader.faces_apart("long", long)
    print(f"face, descriptor distance: over borders {mean(borders)}, within parts {mean(inside)}")
    turns = reader.turns("long", long)
    for number, turn in enumerate(turns):
        other = turns[(number + 1) % len(turns)]
        matched, floor = (fit(turn.speaks, t.sound) for t in (turn, other))
        print(f"part {number + 1}: mouth against its sound {_told(matched)}, against the next part's {_told(floor)}")
    print(f"sync, all parts: {mean([fit(t.speaks, t.sound) for t in turns])}")


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
