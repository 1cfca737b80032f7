"""What a clip of the synthetic corpus says: a sentence that fits its length, by a speaker or by a stranger, and reference recordings."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save

from .sentences import draw
from .speakers import Speaker, blend, stranger
from .speech import utter
from .visemes import Phone
from .waveforms import SAMPLE_RATE, SpeechError, to_int16

if TYPE_CHECKING:
    from .synthetic import Corpus

LOG = logging.getLogger(__name__)

NOISE_FLOOR = 4e-4
LEAD_SECONDS = (0.10, 0.25)
TAIL_SECONDS = 0.06
VOICE_SECONDS = (2.5, 4.0)
ATTEMPTS = 60
STRANGERS_TRIED = 10
STRANGERS_LONG_SHARE = 0.4
BLENDS_APART = 64
"""Two clips of a blended voice are so far from each other that no two workers record its reference at once."""


@dataclass(frozen=True)
class Said:
    """What a clip says, and how it sounds: waveform float32 (N,), phones in clip time."""

    speaker: Speaker
    frames: int
    words: str
    waveform: np.ndarray
    phones: list[Phone]
    voice: int | None = None
    """The number of the reference recording, where there is but one."""


def write_tensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write a safetensors file whole or not at all."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(save({name: np.ascontiguousarray(value) for name, value in tensors.items()}))
    part.replace(path)


def voice_name(speaker: Speaker, number: int) -> str:
    """The reference recording's file in a corpus."""
    return f"voices/{speaker.name}_{number}.safetensors"


def make_voice(out: Path, speaker: Speaker, number: int) -> None:
    """Record reference `number` of a speaker under `out`, where it is not there yet. Raises SpeechError."""
    path = out / voice_name(speaker, number)
    if path.exists():
        return
    rng = random.Random(f"voice {speaker.name} {number}")
    for _ in range(ATTEMPTS):
        text = f"{draw(rng, 'voice')}, {draw(rng, 'voice')}"
        try:
            waveform, _ = utter(speaker, text)
        except SpeechError as error:
            LOG.debug("reference voice of %s: %s", speaker.name, error)
            continue
        if VOICE_SECONDS[0] <= len(waveform) / SAMPLE_RATE <= VOICE_SECONDS[1]:
            write_tensors(path, {"waveform": to_int16(waveform)})
            return
    raise SpeechError(f"{speaker.name} gave no reference recording of {VOICE_SECONDS} s in {ATTEMPTS} attempts")


def _speak(rng: random.Random, speaker: Speaker, split: str, samples: int, clauses: int) -> tuple[str, np.ndarray, list[Phone]]:
    """A sentence that fits the clip: its words, the clip's waveform float32 (N,) of `samples` and phones in clip time."""
    lead = rng.uniform(*LEAD_SECONDS)
    room = samples / SAMPLE_RATE - LEAD_SECONDS[1] - TAIL_SECONDS
    reason = "all were too long"
    for _ in range(ATTEMPTS):
        words = draw(rng, "heldout" if split == "heldout" else "train", clauses)
        try:
            speech, phones = utter(speaker, words)
        except SpeechError as error:
            reason = str(error)
            LOG.debug("skipped %r by %s: %s", words, speaker.name, error)
            continue
        if len(speech) / SAMPLE_RATE > room:
            continue
        noise = np.random.default_rng(rng.getrandbits(63))
        waveform = noise.normal(0.0, NOISE_FLOOR, samples).astype(np.float32)
        first = round(lead * SAMPLE_RATE)
        waveform[first : first + len(speech)] += speech
        return words, waveform, [(start + first / SAMPLE_RATE, end + first / SAMPLE_RATE, symbol) for start, end, symbol in phones]
    raise SpeechError(f"{speaker.name} said none of {ATTEMPTS} sentences within {room:.2f} s; last reason: {reason}")


def person_speaks(corpus: Corpus, rng: random.Random, speaker: Speaker, split: str, long_share: float) -> Said:
    """A sentence that fits the clip, or two."""
    is_long = rng.random() < long_share
    frames = corpus.long_frames if is_long else corpus.frames
    return Said(speaker, frames, *_speak(rng, speaker, split, round(frames * SAMPLE_RATE / corpus.fps), 1 + is_long))


def stranger_speaks(out: Path, corpus: Corpus, rng: random.Random, people: list[Speaker], index: int) -> Said:
    """The same by a voice that nothing else has, whose reference recording is made too."""

    def someone(number: int) -> Speaker:
        return stranger(rng, rng.choice([person for person in people if person.shift == 1.0]), f"stranger{index:06d}")

    return _newcomer_speaks(out, corpus, rng, someone)


def blend_speaks(out: Path, corpus: Corpus, rng: random.Random, index: int) -> Said:
    """The same by a mixture of neural voices, which says two clips of the corpus."""
    block, place = divmod(index, 2 * BLENDS_APART)
    name = f"blend{block * BLENDS_APART + place % BLENDS_APART:06d}"

    def someone(number: int) -> Speaker:
        own = random.Random(f"{corpus.seed} {name} {number}")
        return blend(own, own.choice(("man", "woman")), name)

    return _newcomer_speaks(out, corpus, rng, someone)


def _newcomer_speaks(out: Path, corpus: Corpus, rng: random.Random, someone: Callable[[int], Speaker]) -> Said:
    """Some are too odd to be aligned: then another."""
    for number in range(STRANGERS_TRIED):
        speaker = someone(number)
        try:
            make_voice(out, speaker, number)
            said = person_speaks(corpus, rng, speaker, "train", STRANGERS_LONG_SHARE)
        except SpeechError as error:
            LOG.debug("%s with shift %.2f is left out: %s", speaker.voice, speaker.shift, error)
            continue
        return replace(said, voice=number)
    raise SpeechError(f"none of {STRANGERS_TRIED} changed voices could be understood; the last was like {speaker.voice}")
