"""The synthetic corpus: a free engine's voice on a drawn face, one short sentence a clip, two in a long clip.

On disk: `<out>/manifest.jsonl` (one clip a line, written after its file), `<out>/clips/NNNNNN.safetensors` (frames uint8 (F, H, H, 3),
waveform int16 (N,), mouth float16 (F, 3)), `<out>/audio/NNNNNN.safetensors` (no frames: speech for the first training stage),
`<out>/strangers/NNNNNN.safetensors` (as those, each by a voice that is met once), `<out>/blends/NNNNNN.safetensors` (by mixtures of
neural voices) and
`<out>/voices/SPEAKER_K.safetensors` (waveform int16, 2.5 to 4 s: reference recordings of sentences that no clip says).

Splits: all whose names begin with "train" use training sentences, faces and speakers; a "heldout" clip has a held-out sentence
and face, and in every second clip a held-out speaker (its manifest line says which under "heldout"). Clip i depends on the seed and i
alone, so that any number of workers, and any number of interruptions, give the same corpus.

    python -m unitalking_core.data.synthetic OUT --clips 2500 --heldout 100 --audio-clips 2500 --workers 2
"""

from __future__ import annotations

import argparse
import json
import logging
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .captions import caption
from .engines import ENGINES
from .faces import describe, sample_face
from .render import mouth_box, render, sample_motion
from .speech import SAMPLE_RATE, Speaker, SpeechError, available_speakers, missing_engines, to_int16
from .utterances import blend_speaks, make_voice, person_speaks, stranger_speaks, voice_name, write_tensors
from .visemes import mouth_curves
from .workers import side_by_side

LOG = logging.getLogger(__name__)

COUNTED = {
    "clips": "for training, with a picture",
    "heldout": "held out of training, with a picture",
    "audio-clips": "for training, speech alone",
    "strangers": "for training, speech alone by voices that are met once",
    "blends": "for training, speech alone by mixtures of neural voices",
}
GROWING = ("audio_clips", "strangers", "blends")
ROOMS = ("quiet room", "quiet studio", "silent background")


@dataclass(frozen=True)
class Corpus:
    """What a corpus is made of; two equal ones have equal clips (given the same engines)."""

    clips: int
    heldout: int
    audio_clips: int
    seed: int
    frames: int
    long_frames: int
    long_share: float
    fps: float
    height: int
    voices_per_speaker: int
    speakers: tuple[str, ...]
    strangers: int = 0
    blends: int = 0


@dataclass(frozen=True)
class Job:
    """One clip to make. `split`: "train", "heldout", "train_audio", "train_stranger" or "train_blend"; `index` counts within it."""

    split: str
    index: int
    file: str


def jobs(corpus: Corpus) -> list[Job]:
    """All clips in the order they are made: held-out ones spread evenly among training ones, audio-only ones last."""
    total = corpus.clips + corpus.heldout
    listed, held = [], 0
    for number in range(total):
        # The first clip is held out, so that even a corpus that has just begun can be evaluated.
        if held < corpus.heldout and held * total <= number * corpus.heldout:
            listed.append(Job("heldout", held, f"clips/{number:06d}.safetensors"))
            held += 1
        else:
            listed.append(Job("train", number - held, f"clips/{number:06d}.safetensors"))
    listed += [Job("train_audio", index, f"audio/{index:06d}.safetensors") for index in range(corpus.audio_clips)]
    listed += [Job("train_stranger", index, f"strangers/{index:06d}.safetensors") for index in range(corpus.strangers)]
    return listed + [Job("train_blend", index, f"blends/{index:06d}.safetensors") for index in range(corpus.blends)]


def make_clip(out: Path, corpus: Corpus, job: Job) -> dict:
    """Make one clip, write its file under `out`, return its manifest line. Raises SpeechError when the speaker cannot say anything."""
    rng = random.Random(f"{corpus.seed} {job.split} {job.index}")
    installed = [speaker for speaker in available_speakers() if speaker.name in corpus.speakers]
    unseen = [speaker for speaker in installed if speaker.split == "heldout"]
    seen = [speaker for speaker in installed if speaker.split == "train"]
    new_speaker = job.split == "heldout" and bool(unseen) and (job.index % 2 == 0 or not seen)
    people = unseen if new_speaker else seen
    # Free voices are mostly men's: choosing the gender first keeps the portraits even.
    gender = rng.choice(sorted({speaker.gender for speaker in people}))
    people = [speaker for speaker in people if speaker.gender == gender]
    if job.split == "train_stranger":
        said = stranger_speaks(out, corpus, rng, people, job.index)
    elif job.split == "train_blend":
        said = blend_speaks(out, corpus, rng, job.index)
    else:
        said = person_speaks(corpus, rng, rng.choice(people), job.split, corpus.long_share)
    line: dict[str, Any] = {
        "id": f"{job.split}-{job.index:06d}",
        "split": job.split,
        "file": job.file,
        "words": said.words,
        "speaker": said.speaker.name,
    }
    tensors = {"waveform": to_int16(said.waveform)}
    if job.split in ("train_audio", "train_stranger", "train_blend"):
        portrait = f"a {said.speaker.gender}"
    else:
        # Even face seeds are for training, odd ones are held out, negative ones are left to demonstrations.
        line["face"] = 2 * rng.randrange(2**40) + (job.split == "heldout")
        face = sample_face(line["face"], said.speaker.gender)
        portrait = describe(face, rng)
        mouth = mouth_curves(said.phones, said.frames, corpus.fps)
        tensors["frames"] = render(face, mouth, sample_motion(rng.getrandbits(40), said.frames, corpus.fps), corpus.height)
        tensors["mouth"] = mouth.astype(np.float16)
        line["mouth_box"] = [round(value, 4) for value in mouth_box(face)]
    write_tensors(out / job.file, tensors)
    line["text"] = caption(said.words, portrait, rng.choice(said.speaker.traits), rng.choice(ROOMS))
    line["voice_file"] = voice_name(said.speaker, rng.randrange(corpus.voices_per_speaker) if said.voice is None else said.voice)
    line["sample_rate"] = SAMPLE_RATE
    line["seconds"] = round(len(said.waveform) / SAMPLE_RATE, 6)
    line["phones"] = [[round(start, 3), round(end, 3), symbol] for start, end, symbol in said.phones]
    if job.split == "heldout":
        line["heldout"] = ["sentence", "face"] + ["speaker"] * new_speaker
    return line


def _voice_task(task: tuple[Path, Speaker, int]) -> None:
    make_voice(*task)


def _clip_task(task: tuple[Path, Corpus, Job]) -> dict:
    return make_clip(*task)


def _finished(manifest: Path) -> set[str]:
    """Ids already in the manifest; a last line cut short by an interruption is removed."""
    if not manifest.exists():
        return set()
    whole = manifest.read_text(encoding="utf-8")
    keep = whole[: whole.rfind("\n") + 1]
    if keep != whole:
        manifest.write_text(keep, encoding="utf-8")
    return {json.loads(line)["id"] for line in keep.splitlines()}


def _agree(out: Path, corpus: Corpus) -> None:
    """Raise ValueError when the folder holds another corpus. There may be more speech alone than before: no clip depends on another."""
    path = out / "corpus.json"
    stated = json.loads(json.dumps(asdict(corpus)))
    if path.exists():
        there = json.loads(path.read_text(encoding="utf-8"))
        there = {"strangers": 0, "blends": 0} | there
        differing = sorted(key for key in stated if stated[key] != there.get(key))
        if differing and all(key in GROWING and stated[key] > there[key] for key in differing):
            LOG.info("the corpus grows to %s", ", ".join(f"{key}: {stated[key]}" for key in differing))
        elif differing:
            told = ", ".join(f"{key}: {there.get(key)} there, {stated[key]} asked" for key in differing)
            raise ValueError(
                f"{out} holds another corpus ({told}); choose another folder, or the same settings and engines to go on with it"
            )
        else:
            return
    path.write_text(json.dumps(stated, indent=1) + "\n", encoding="utf-8")


def prepare(
    out_dir: str | Path,
    clips: int = 2500,
    seed: int = 0,
    workers: int = 2,
    *,
    heldout: int = 100,
    audio_clips: int = 0,
    strangers: int = 0,
    blends: int = 0,
    faces: bool = True,
    frames: int = 49,
    long_frames: int = 97,
    long_share: float = 0.0,
    fps: float = 24.0,
    height: int = 128,
    voices_per_speaker: int = 16,
) -> Path:
    """Make the corpus, or go on with an interrupted one, or with more `audio_clips`, `strangers` or `blends`; returns the manifest's path.

    `clips` training clips and `heldout` held-out ones with pictures (F = `frames` at `fps`, or `long_frames` in a share of them; `height`
    pixels square), then without pictures `audio_clips`, `strangers` by voices that are met once, and `blends` by mixtures of neural voices,
    two clips each; `faces=False` makes all training clips without pictures and none held out. Raises ValueError when the folder holds
    another corpus, SpeechError when no training voice is installed, or the mixtures are not.
    """
    if not faces:
        clips, heldout, audio_clips = 0, 0, audio_clips + clips
    counts = (clips, heldout, audio_clips, strangers, blends)
    if min(counts) < 0 or sum(counts) < 1 or workers < 1 or voices_per_speaker < 1:
        raise ValueError("counts of clips must not be negative nor all zero; workers and voices_per_speaker are at least 1")
    if not 0 <= long_share <= 1:
        raise ValueError(f"the share of long clips is between 0 and 1, got {long_share}")
    for engine, how in missing_engines().items():
        LOG.warning("speech engine %s is missing, its speakers are left out; to have it: %s", engine, how)
    speakers = available_speakers()
    if not any(speaker.split == "train" for speaker in speakers):
        raise SpeechError("no speech engine with a training voice is installed; the least to do: apt-get install flite")
    if blends and not ENGINES["kokoro_blend"].installed(""):
        raise SpeechError(f"mixtures of neural voices are not installed; to have them: {ENGINES['kokoro_blend'].install}")
    out = Path(out_dir)
    for folder in ("clips", "audio", "strangers", "blends", "voices"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    names = tuple(speaker.name for speaker in speakers)
    corpus = Corpus(
        clips, heldout, audio_clips, seed, frames, long_frames, long_share, fps, height, voices_per_speaker, names, strangers, blends
    )
    _agree(out, corpus)
    manifest = out / "manifest.jsonl"
    done = _finished(manifest)
    todo = [(out, corpus, job) for job in jobs(corpus) if f"{job.split}-{job.index:06d}" not in done]
    LOG.info("%d clips are there, %d to make, %d speakers", len(done), len(todo), len(speakers))
    with side_by_side(workers) as each:
        for _ in each(_voice_task, [(out, speaker, number) for speaker in speakers for number in range(voices_per_speaker)]):
            pass
        with manifest.open("a", encoding="utf-8") as file:
            for count, line in enumerate(each(_clip_task, todo), 1):
                file.write(json.dumps(line) + "\n")
                file.flush()
                if count % 100 == 0 or count == len(todo):
                    LOG.info("%d of %d clips", count, len(todo))
    return manifest


def main(arguments: list[str] | None = None) -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description="Make the synthetic corpus of talking portraits.")
    parser.add_argument("out_dir")
    for name, default in (
        ("clips", 2500),
        ("heldout", 100),
        ("audio-clips", 0),
        ("strangers", 0),
        ("blends", 0),
        ("seed", 0),
        ("workers", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=COUNTED.get(name))
    for name, default in (("frames", 49), ("long-frames", 97), ("height", 128), ("voices-per-speaker", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--long-share", type=float, default=0.0, help="part of the clips that are long, of two clauses")
    parser.add_argument("--fps", type=float, default=24.0)
    parser.add_argument("--no-faces", dest="faces", action="store_false", help="sound only")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    prepare(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
