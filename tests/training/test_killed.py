"""A run that is killed at any step and started again is the run that nobody disturbed."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training.toy import MODEL, VOICE, toy_config, write_store

from unitalking_core.training.config import Stage
from unitalking_core.training.latents import LatentStore
from unitalking_core.training.state import read_position
from unitalking_core.training.trainer import STATE, Trainer

ROOT = Path(__file__).parents[2]


def start(folder: Path) -> subprocess.Popen:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "training" / "toy_run.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=1200)
    assert process.returncode == 0, errors


def lines(folder: Path) -> list[bytes]:
    path = folder / "losses.jsonl"
    return path.read_bytes().splitlines() if path.is_file() else []


def told(folder: Path) -> list[dict]:
    return [{k: v for k, v in json.loads(line).items() if k != "seconds_per_step"} for line in lines(folder)]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    victim, undisturbed = start(cut), start(whole)
    kill_after = random.SystemRandom().randint(1, 14)
    while len(lines(cut)) < kill_after and victim.poll() is None:
        time.sleep(0.005)
    victim.kill()
    victim.wait()
    assert victim.returncode == -signal.SIGKILL
    finish(start(cut))
    finish(undisturbed)
    assert told(cut) == told(whole), f"killed after line {kill_after}"
    assert [line["total"] for line in told(whole)] == [*range(2, 15, 2), 15, *range(17, 36, 2)]
    once, again = load_file(whole / "state.safetensors"), load_file(cut / "state.safetensors")
    assert once.keys() == again.keys()
    for name, value in once.items():
        assert torch.equal(value, again[name]), f"{name}, killed after line {kill_after}"


def test_asked_to_end_it_saves_while_it_makes_steps_and_ends_at_once_before(tmp_path: Path) -> None:
    config, heard = toy_config(tmp_path, dataclasses.replace(VOICE, steps=4), export_every=2), []

    def open_store(_: Stage) -> LatentStore:
        heard.append(signal.getsignal(signal.SIGTERM))
        return write_store(tmp_path / "latents")

    def ask(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    assert not Trainer(config, MODEL, open_store, ask).run()
    assert heard == [before]
    assert signal.getsignal(signal.SIGTERM) == before
    position = read_position(tmp_path / STATE)
    assert position is not None
    assert position["total"] == 2
