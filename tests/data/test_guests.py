"""Voices that lend their sound alone: who they are, how they are recorded, and how training reads them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from unitalking_core.data.guests import NATURAL, RECORDINGS, SECONDS, VARIANTS, WORDS, guest, prepare_guests
from unitalking_core.data.speakers import SPEAKERS
from unitalking_core.data.waveforms import SAMPLE_RATE, SpeechError
from unitalking_core.training.corpus import CorpusError, read_guests


def test_no_guest_is_a_speaker_of_the_corpus_or_named_like_one_that_is_held_out() -> None:
    speakers = {(speaker.engine, speaker.voice) for speaker in SPEAKERS}
    assert not {(who.engine, who.voice) for who in NATURAL + VARIANTS} & speakers
    known = {s.voice.split("+")[-1].lower() for s in SPEAKERS if s.engine == "espeak" and "+" in s.voice}
    characters = {who.voice.split("+")[1].lower() for who in VARIANTS}
    assert len(characters) == len(VARIANTS)
    assert not characters & known
    assert not [name for name in characters if name.startswith(("steph", "grandma"))]


def test_every_language_can_be_written_as_its_engine_reads_it() -> None:
    for who in NATURAL:
        assert WORDS[who.language].encode(who.encoding).decode(who.encoding) == WORDS[who.language]
        assert len(set(WORDS[who.language].split())) > 20


def test_first_all_are_as_they_are_then_natural_ones_come_back_changed() -> None:
    first = [guest(index) for index in range(len(NATURAL) + len(VARIANTS))]
    assert [who for who, _ in first] == [*NATURAL, *VARIANTS]
    assert all((speaker.shift, speaker.pitch, speaker.tone) == (1.0, 1.0, ()) for _, speaker in first)
    later = [guest(index) for index in range(len(first), len(first) + 2 * len(NATURAL))]
    assert [who for who, _ in later] == [*NATURAL, *NATURAL]
    assert len({speaker.tone for _, speaker in later}) == len(later)


def test_a_corpus_without_guests_says_how_to_have_them(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"has no guests.*unitalking prepare guests"):
        read_guests(tmp_path, SAMPLE_RATE)


def test_without_any_engine_the_error_says_how_to_have_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.jsonl").write_text("")
    with pytest.raises(ValueError, match="at least 1 guest, got 0"):
        prepare_guests(tmp_path, 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpeechError, match="no guest could be recorded; to have their engines: apt-get install rhvoice"):
        prepare_guests(tmp_path, 60)


@pytest.mark.slow
def test_guests_are_recorded_once_and_read(tmp_path: Path) -> None:
    if not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is not installed (apt-get install espeak-ng)")
    with pytest.raises(ValueError, match="is no corpus"):
        prepare_guests(tmp_path, 1)
    (tmp_path / "manifest.jsonl").write_text("")
    count = len(NATURAL) + 2
    there = prepare_guests(tmp_path, count)
    assert there >= 2
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "guests").iterdir()}
    assert len(files) >= there * RECORDINGS
    assert prepare_guests(tmp_path, count) == there
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "guests").iterdir()} == files
    read = read_guests(tmp_path, SAMPLE_RATE)
    assert {len(recordings) for recordings in read.values()} >= {RECORDINGS}
    for recordings in read.values():
        for waveform in recordings:
            assert SECONDS[0] <= waveform.shape[-1] / SAMPLE_RATE <= SECONDS[1] + 0.01
            assert 0.05 < waveform.abs().max() <= 1
            assert torch.isfinite(waveform).all()
