"""Who speaks, by Resemblyzer (Apache-2.0), a speaker encoder whose weights come with the package.

Reading: a unit vector of 256 numbers; the cosine of two says how alike the voices are.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import Reader, ReadingFailed, Recording, installed, packages_missing

SHORTEST_SECONDS = 0.4


@dataclass(frozen=True)
class SpeakerEncoder:
    name = "Resemblyzer"
    senses = ("waveform",)

    def missing(self) -> str | None:
        return packages_missing("Resemblyzer")

    def version(self) -> str:
        return str(installed("Resemblyzer"))

    def open(self) -> Reader:
        from resemblyzer import VoiceEncoder, preprocess_wav

        encoder = VoiceEncoder("cpu", verbose=False)

        def read(recording: Recording) -> list[float]:
            speech = preprocess_wav(recording.waveform())
            if len(speech) < SHORTEST_SECONDS * 16000:
                raise ReadingFailed("hardly any speech was found")
            return [round(float(x), 6) for x in encoder.embed_utterance(speech)]

        return read
