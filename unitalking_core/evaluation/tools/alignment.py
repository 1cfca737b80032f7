"""When each phone of known words is heard, by pocketsphinx (BSD), the aligner that also times the corpus.

Reading: [[start second, end second, ARPAbet symbol], ...].
"""

from __future__ import annotations

from dataclasses import dataclass

from ...data.speech import SpeechError, align
from . import Reader, ReadingFailed, Recording, installed, packages_missing


@dataclass(frozen=True)
class Alignment:
    name = "pocketsphinx"
    senses = ("waveform", "words")

    def missing(self) -> str | None:
        return packages_missing("pocketsphinx")

    def version(self) -> str:
        return str(installed("pocketsphinx"))

    def open(self) -> Reader:
        def read(recording: Recording) -> list:
            try:
                return [[round(start, 3), round(end, 3), symbol] for start, end, symbol in align(recording.waveform(), recording.words)]
            except SpeechError as error:
                raise ReadingFailed(str(error)) from error

        return read
