"""Readings are kept: nothing is read twice, what fails is remembered, what is missing is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from unitalking_core.evaluation.readings import Readings
from unitalking_core.evaluation.recordings import Recording, spoken_words, write_recording
from unitalking_core.evaluation.tools import Reader, ReadingFailed, ToolMissing


@dataclass(frozen=True)
class Peak:
    """The loudest sample; silence gives no reading. Writes down what it is asked."""

    log: Path
    absent: str | None = None
    name = "peak"
    senses = ("waveform",)

    def missing(self) -> str | None:
        return self.absent

    def version(self) -> str:
        return "1"

    def open(self) -> Reader:
        def read(recording: Recording) -> int:
            with self.log.open("a") as file:
                file.write(f"{recording.path.stem}\n")
            peak = int(np.abs(recording.samples()).max())
            if not peak:
                raise ReadingFailed("silence")
            return peak

        return read


@pytest.fixture
def recordings(tmp_path: Path) -> list[Recording]:
    found = []
    for name, peak in (("a", 5), ("b", 9), ("c", 0), ("d", 5), ("e", 7)):
        write_recording(tmp_path / f"{name}.safetensors", None, np.array([0, peak, 0], np.int16))
        found.append(Recording(tmp_path / f"{name}.safetensors"))
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_equal_sounds_are_read_once_even_over_runs(tmp_path: Path, recordings: list[Recording], workers: int) -> None:
    tool = Peak(tmp_path / "log")
    assert Readings(tmp_path / "kept", workers).read(tool, recordings) == [5, 9, None, 5, 7]
    assert len(tool.log.read_text().split()) == 4  # enough for a pool
    assert Readings(tmp_path / "kept", workers).read(tool, recordings[::-1]) == [7, 5, None, 9, 5]
    assert len(tool.log.read_text().split()) == 4


def test_a_changed_sound_is_read_again(tmp_path: Path, recordings: list[Recording]) -> None:
    readings = Readings(tmp_path / "kept")
    readings.read(Peak(tmp_path / "log"), recordings)
    write_recording(recordings[0].path, None, np.array([0, 7, 0], np.int16))
    assert readings.read(Peak(tmp_path / "log"), recordings[:1]) == [7]


def test_a_missing_tool_says_so(tmp_path: Path, recordings: list[Recording]) -> None:
    with pytest.raises(ToolMissing, match="package peak missing"):
        Readings(tmp_path).read(Peak(tmp_path / "log", "package peak missing"), recordings)


@dataclass(frozen=True)
class Broken(Peak):
    def open(self) -> Reader:
        raise ImportError("no module named pkg_resources")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_tool_that_cannot_be_loaded_says_so_and_does_not_hang(tmp_path: Path, recordings: list[Recording], workers: int) -> None:
    for i in range(4):  # enough different sounds for a pool
        write_recording(recordings[i].path, None, np.array([0, 10 + i, 0], np.int16))
    with pytest.raises(ToolMissing, match=r"peak is installed but cannot be loaded .*pkg_resources"):
        Readings(tmp_path / "kept", workers).read(Broken(tmp_path / "log"), recordings)


def test_a_recording_without_picture_is_told_from_one_with(tmp_path: Path, recordings: list[Recording]) -> None:
    frames = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    write_recording(tmp_path / "f.safetensors", frames, np.zeros(3, np.int16))
    assert (Recording(tmp_path / "f.safetensors").frames() == frames).all()
    with pytest.raises(KeyError, match="has no frames"):
        recordings[0].frames()


def test_the_words_of_a_prompt() -> None:
    assert spoken_words("<S>Good morning, you!<E> a man, deep voice") == "good morning you"
    assert spoken_words("it's plain") == "it's plain"
