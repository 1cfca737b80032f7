"""Does each face of a dialogue speak its own lines, and only those: `python -m benchmarks.dialogue`, with the evaluation's Python.

Pairs of held-out faces and voices take turns with held-out sentences. In every turn the mouths of both (FaceMesh) are held against the
mouth shapes that Rhubarb hears in the sound, and so is the speaker's when it says the same line alone. The floor is another pair's sound.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from unitalking_core.cli import NANO
from unitalking_core.conditions.long_script import Line
from unitalking_core.evaluation.clips import held_out
from unitalking_core.evaluation.command import TOOLS
from unitalking_core.evaluation.curves import Curve, correlation, opening_of_cues, opening_range
from unitalking_core.evaluation.metrics.sync import opening_of
from unitalking_core.evaluation.readings import Readings
from unitalking_core.evaluation.recordings import Recording, spoken_words, write_recording
from unitalking_core.evaluation.tools import Place, Tool
from unitalking_core.evaluation.tools.cues import MouthCues
from unitalking_core.evaluation.tools.landmarks import Landmarks
from unitalking_core.generate import Pipeline
from unitalking_core.long import LongClip, Person, generate_dialogue
from unitalking_core.training.corpus import Item, read_clip_frames, read_manifest, read_voice

TURNS = 4
"""In each dialogue, by the first and the second in turn."""


@dataclass(frozen=True)
class Turn:
    """Mouth openings of who speaks and who listens, and the opening that the sound asks for. Curves (F,)."""

    speaks: Curve | None
    listens: Curve | None
    sound: Curve

    def against(self, sound: Curve, mouth: Curve | None) -> float | None:
        """The correlation over the frames that both have."""
        frames = min(len(sound), 0 if mouth is None else len(mouth))
        return None if mouth is None else correlation(mouth[:frames], sound[:frames])


class Bench:
    """Makes talks and reads them; everything lies in `work` and is not done again."""

    def __init__(self, pipeline: Pipeline, corpus: Path, work: Path, tools: Path, steps: int | None) -> None:
        self.pipeline, self.corpus, self.work, self.steps = pipeline, corpus, work, steps
        self.readings = Readings(work / "readings")
        self.landmarks, self.cues = Landmarks(Place(tools)), MouthCues(Place(tools))
        work.mkdir(parents=True, exist_ok=True)

    def person(self, item: Item) -> Person:
        """The face of a clip's first frame and the voice of its reference recording."""
        frames = read_clip_frames(self.corpus, item)
        assert frames is not None  # held-out clips have pictures
        portrait = frames[0, :, 0].movedim(0, -1) / 2 + 0.5
        voice = read_voice(self.corpus, item.voice_file).reshape(1, -1)
        return Person(item.text.partition("<E>")[2].strip(), portrait, (voice, self.pipeline.config.audio.sample_rate))

    def turns(self, name: str, people: Sequence[Person], lines: Sequence[Line], seed: int) -> list[Turn]:
        """A dialogue, or a person alone, turn by turn."""
        talk = generate_dialogue(self.pipeline, people, lines, seed=seed, steps=self.steps)
        rate, fps = self.pipeline.config.audio.sample_rate, self.pipeline.config.timeline.fps
        mouths = [self._mouth(f"{name}_{who}", clip) for who, clip in enumerate(talk.clips)]
        borders = [*talk.starts, talk.clips[0].clip.seconds]
        found = []
        for number, (line, start, stop) in enumerate(zip(talk.lines, borders[:-1], borders[1:], strict=True)):
            first, last = round(start * fps), round(stop * fps)
            piece = self.work / f"{name}_turn{number}.safetensors"
            write_recording(piece, None, _samples(talk, rate, start, stop))
            cues = self._read(self.cues, piece)
            speaks, listens = mouths[line.speaker], mouths[1 - line.speaker] if len(mouths) > 1 else None
            if cues is not None:
                cut = [None if m is None else m[first:last] for m in (speaks, listens)]
                found.append(Turn(*cut, opening_of_cues(cues, last - first, fps)))
        return found

    def _mouth(self, name: str, clip) -> Curve | None:  # noqa: ANN001  a GeneratedClip
        path = self.work / f"{name}.safetensors"
        write_recording(path, torch.cat(list(clip.frames())).numpy(), _pcm(clip.waveform))
        return opening_of(self._read(self.landmarks, path))

    def _read(self, tool: Tool, path: Path):  # noqa: ANN202  what the tool reads
        return self.readings.read(tool, [Recording(path)])[0]


def _pcm(waveform: torch.Tensor) -> np.ndarray:
    return (waveform[0].clamp(-1, 1) * 32767).round().to(torch.int16).numpy()


def _samples(talk: LongClip, rate: int, start: float, stop: float) -> np.ndarray:
    return _pcm(talk.clips[0].waveform[:, round(start * rate) : round(stop * rate)])


def main() -> None:
    """Print means over all turns, with the standard error of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=NANO)
    parser.add_argument("--corpus", type=Path, default=Path("corpora/nano"))
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--work", type=Path, default=Path("runs/dialogue"))
    parser.add_argument("--tools", type=Path, default=TOOLS)
    options = parser.parse_args()
    bench = Bench(Pipeline.load(options.checkpoint), options.corpus, options.work, options.tools, options.steps)
    longest = bench.pipeline.config.sampling.seconds + 0.1
    items = [i for i in held_out(read_manifest(options.corpus), None) if i.phones[-1][1] < longest][: options.pairs * TURNS]
    if len(items) < 2 * TURNS:
        raise SystemExit("at least two pairs are needed: the floor is another pair's sound")
    talks, alone = [], []
    for pair, four in enumerate(zip(*[iter(items)] * TURNS, strict=False)):
        people = [bench.person(item) for item in four[:2]]
        lines = [Line(i % 2, spoken_words(item.text)) for i, item in enumerate(four)]
        talks.append(bench.turns(f"pair{pair}", people, lines, seed=1000 * pair))
        for i, line in enumerate(lines):
            alone += bench.turns(
                f"alone{pair}_{i}", [people[line.speaker]], [Line(0, line.speech)], seed=1000 * pair + 2 * i + line.speaker
            )
        print(f"pair {pair + 1} of {len(items) // TURNS}", flush=True)
    _tell(talks, alone)


def _tell(talks: list[list[Turn]], alone: list[Turn]) -> None:
    rows: dict[str, list[float | None]] = defaultdict(list)
    for talk, others in zip(talks, [*talks[1:], talks[0]], strict=True):
        for turn, other in zip(talk, others, strict=False):
            rows["speaks: opening against its sound"].append(turn.against(turn.sound, turn.speaks))
            rows["speaks: against another pair's sound"].append(turn.against(other.sound, turn.speaks))
            rows["listens: opening against the sound"].append(turn.against(turn.sound, turn.listens))
            rows["listens: against another pair's sound"].append(turn.against(other.sound, turn.listens))
            rows["speaks: how far the mouth opens"].append(_range(turn.speaks))
            rows["listens: how far the mouth opens"].append(_range(turn.listens))
    for turn in alone:
        rows["alone: opening against its sound"].append(turn.against(turn.sound, turn.speaks))
        rows["alone: how far the mouth opens"].append(_range(turn.speaks))
    for name, values in rows.items():
        known = [v for v in values if v is not None]
        error = statistics.stdev(known) / len(known) ** 0.5 if len(known) > 1 else float("nan")
        print(f"{name:<42} {statistics.mean(known):6.3f} +- {error:.3f}  ({len(known)} turns)")


def _range(mouth: Curve | None) -> float | None:
    if mouth is None:
        return None
    low, high = opening_range(mouth)
    return high - low


if __name__ == "__main__":
    main()
