"""What is told of a run, and how far it is."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
import torch
from training.toy import VOICE, toy_batches

from unitalking_core.config import ConfigError
from unitalking_core.training.batches import Batch
from unitalking_core.training.journal import Journal
from unitalking_core.training.objective import Losses
from unitalking_core.training.progress import Bar, Lines, open_progress


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return toy_batches(tmp_path / "store", VOICE).draw(0)


def losses(value: float) -> Losses:
    return Losses(torch.tensor(value), None, torch.full((VOICE.batch,), value))


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def test_a_line_tells_the_means_since_the_last(tmp_path: Path, batch: Batch) -> None:
    journal = Journal(tmp_path, 0)
    journal.add([batch, batch], [losses(1), losses(2)], 0.1, torch.tensor(4.0))
    journal.add([batch, batch], [losses(3), losses(4)], 0.2, torch.tensor(6.0))
    assert "T2A.audio 2.500" in journal.flush("voice", 2)
    journal.add([batch], [losses(7)], 0.3, torch.tensor(1.0))
    journal.flush("voice", 3)
    first, second = lines(tmp_path)
    assert first["T2A.audio"] == pytest.approx(2.5)
    assert (first["learning_rate"], first["gradient_norm"]) == (pytest.approx(0.15), pytest.approx(5))
    assert (second["T2A.audio"], second["total"]) == (7, 3)


def test_steps_that_are_made_again_are_told_once(tmp_path: Path, batch: Batch) -> None:
    journal = Journal(tmp_path, 0)
    for step in range(1, 6):
        journal.add([batch], [losses(step)], 0.1, torch.tensor(1.0))
        if step == 3:
            pending = json.loads(json.dumps(journal.pending()))
        if step % 2 == 0:
            journal.flush("voice", step)
    with (tmp_path / "losses.jsonl").open("a") as file:
        file.write('{"stage": "voi')
    resumed = Journal(tmp_path, 3, pending)
    assert [line["total"] for line in lines(tmp_path)] == [2]
    resumed.add([batch], [losses(4)], 0.1, torch.tensor(1.0))
    resumed.flush("voice", 4)
    assert [(line["total"], line["T2A.audio"]) for line in lines(tmp_path)] == [(2, 1.5), (4, 3.5)]


def test_only_the_process_that_writes_writes(tmp_path: Path, batch: Batch) -> None:
    journal = Journal(tmp_path / "run", 0, writes=False)
    journal.add([batch], [losses(1)], 0.1, torch.tensor(1.0))
    assert "T2A.audio 1.000" in journal.flush("voice", 1)
    assert not (tmp_path / "run").exists()


def test_tensorboard_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        Journal(tmp_path, 0, tensorboard=True)


def test_tensorboard_shows_the_same_numbers_and_forgets_steps_made_again(tmp_path: Path, batch: Batch) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed (extra 'train')")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start in (0, 1):
        journal = Journal(tmp_path, start, tensorboard=True)
        for total in (start + 1, start + 2):
            journal.add([batch], [losses(total + 10 * start)], 0.5, torch.tensor(2.0))
            journal.flush("voice", total)
        journal.board.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"loss/T2A/audio", "run/learning_rate", "run/gradient_norm", "run/seconds_per_step"}
    assert [(e.step, e.value) for e in events.Scalars("loss/T2A/audio")] == [(1, 1.0), (2, 12.0), (3, 13.0)]


def test_without_a_terminal_notes_are_lines_of_the_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    progress = open_progress("voice", 10, 20)
    assert isinstance(progress, Lines)
    with caplog.at_level(logging.INFO):
        progress.advance(None)
        progress.advance("loss 1")
    progress.close()
    assert caplog.messages == ["voice 12/20 loss 1"]


def test_a_terminal_has_a_bar(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed (extra 'train')")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = open_progress("voice", 10, 20)
    assert isinstance(progress, Bar)
    progress.advance("loss 1")
    progress.close()
    assert "11/20" in (shown := capsys.readouterr().err)
    assert "loss 1" in shown


def test_a_terminal_without_tqdm_has_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert isinstance(open_progress("voice", 0, 2), Lines)
