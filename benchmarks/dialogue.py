"""Does each face of a dialogue speak its own lines, and only those: `python -m benchmarks.dialogue`, with the evaluation's Python.

Pairs of held-out faces and voices take turns with held-out sentences. In every turn the mouths of both (FaceMesh) are held against the
mouth shapes that Rhubarb hears in the sound, and so is the speaker's when it says the same line alone. The floor is another pair's sound.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import torch

from benchmarks.turns import Reader, Turn, fit, mean
from unitalking_core.cli import NANO
from unitalking_core.conditions.long_script import Line
from unitalking_core.conditions.script import estimate
from unitalking_core.evaluation.clips import held_out
from unitalking_core.evaluation.command import TOOLS
from unitalking_core.evaluation.curves import Curve, opening_range
from unitalking_core.evaluation.recordings import spoken_words
from unitalking_core.generate import Pipeline
from unitalking_core.long import Person, generate_dialogue
from unitalking_core.training.corpus import Item, read_clip_frames, read_manifest, read_voice

TURNS = 4
"""In each dialogue, by the first and the second person alternately."""


def person(corpus: Path, item: Item, sample_rate: int) -> Person:
    """The face of a clip's first frame and the voice of its reference recording."""
    frames = read_clip_frames(corpus, item)
    assert frames is not None  # held-out clips have pictures
    voice = read_voice(corpus, item.voice_file).reshape(1, -1)
    return Person(item.text.partition("<E>")[2].strip(), frames[0, :, 0].movedim(0, -1) / 2 + 0.5, (voice, sample_rate))


def main() -> None:
    """Print means over all turns, with the standard error of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=NANO)
    parser.add_argument("--corpus", type=Path, default=Path("corpora/nano"))
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--work", type=Path, default=Path("runs/dialogue"))
    parser.add_argument("--tools", type=Path, default=TOOLS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pipeline, reader = Pipeline.load(options.checkpoint), Reader(options.work, options.tools)
    settings, rate = pipeline.config.sampling, pipeline.config.audio.sample_rate
    held = held_out(read_manifest(options.corpus), None)
    items = [i for i in held if estimate(spoken_words(i.text), "en").seconds <= settings.seconds]
    groups = list(zip(*[iter(items[: options.pairs * TURNS])] * TURNS, strict=False))
    if len(groups) < 2:
        raise SystemExit("at least two pairs are needed: the floor is another pair's sound")
    talks, alone = [], []
    for pair, group in enumerate(groups):
        people = [person(options.corpus, item, rate) for item in group[:2]]
        lines = [Line(i % 2, spoken_words(item.text)) for i, item in enumerate(group)]
        talk = generate_dialogue(pipeline, people, lines, seed=1000 * pair, steps=options.steps)
        talks.append(reader.turns(f"pair{pair}", talk))
        for i, line in enumerate(lines):
            seed = 1000 * pair + 2 * i + line.speaker  # that of the line in the dialogue
            solo = generate_dialogue(pipeline, [people[line.speaker]], [Line(0, line.speech)], seed=seed, steps=options.steps)
            alone += reader.turns(f"alone{pair}_{i}", solo)
        print(f"pair {pair + 1} of {len(groups)}", flush=True)
    _tell(talks, alone)


def _tell(talks: list[list[Turn]], alone: list[Turn]) -> None:
    rows: dict[str, list[float | None]] = defaultdict(list)
    for talk, others in zip(talks, [*talks[1:], talks[0]], strict=True):
        for turn, other in zip(talk, others, strict=False):
            for who, mouth in (("speaks", turn.speaks), ("listens", turn.listens)):
                rows[f"{who}: opening against the sound"].append(fit(mouth, turn.sound))
                rows[f"{who}: against another pair's sound"].append(fit(mouth, other.sound))
                rows[f"{who}: how far the mouth opens"].append(_range(mouth))
    for turn in alone:
        rows["alone: opening against the sound"].append(fit(turn.speaks, turn.sound))
        rows["alone: how far the mouth opens"].append(_range(turn.speaks))
    for name, values in rows.items():
        print(f"{name:<40} {mean(values)}")


def _range(mouth: Curve | None) -> float | None:
    if mouth is None:
        return None
    low, high = opening_range(mouth)
    return high - low


if __name__ == "__main__":
    main()
