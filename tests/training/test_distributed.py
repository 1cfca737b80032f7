"""Two processes train what one process trains, and leave the same files: sharing every parameter, or with the whole model each."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training.one_of_several import train
from training.toy import TALK, VOICE, toy_batches, toy_config, toy_learner

from unitalking_core import checkpoint
from unitalking_core.config import ConfigError
from unitalking_core.training import distributed
from unitalking_core.training.conditions import conditions_for_training
from unitalking_core.training.distributed import shards, share
from unitalking_core.training.state import read_position

ROOT = Path(__file__).parents[2]


def train_in_two(folder: Path, **wishes: object) -> list[dict]:
    """Run `one_of_several` under torchrun; what both processes report."""
    folder.mkdir(exist_ok=True)
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "training.one_of_several"]
    done = subprocess.run([*command, str(folder), json.dumps(wishes)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


def losses(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in ("stage", "seconds_per_step")} for line in lines]


def assert_same_files(one: Path, two: Path) -> None:
    """Equal names and positions, equal values as far as another order of summing allows."""
    a, b = load_file(one / "state.safetensors"), load_file(two / "state.safetensors")
    assert a.keys() == b.keys()
    for name, value in a.items():
        torch.testing.assert_close(b[name], value, atol=2e-5, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}")
    a, b = (read_position(folder / "state.safetensors") for folder in (one, two))
    assert {**a, "pending": None} == {**b, "pending": None}


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Uneven shares (2 and 3 rows), accumulation, checkpointed blocks; stopped inside a stage, so that optimiser states are in the file."""
    wishes = {"until": 7, "batch": 5, "accumulate": 2, "checkpoint_activations": True}
    reports = train_in_two(tmp_path / "two", **wishes)
    one = train(tmp_path / "one", **wishes)
    assert_same_files(tmp_path / "one", tmp_path / "two")
    for a, b in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert b == pytest.approx(a, rel=1e-4)
    whole = 2 * sum(p.numel() for p in one.learner.parameters())
    assert all(report["ranks"] == 2 and report["sharded"] and report["values"] == whole for report in reports)
    assert sum(report["values here"] for report in reports) == whole
    assert max(report["values here"] for report in reports) < 0.6 * whole
    a, b = (checkpoint.load(tmp_path / which / "out.safetensors").part(checkpoint.TRANSFORMER) for which in ("one", "two"))
    assert a.keys() == b.keys() == one.learner.transformer.state_dict().keys()


@pytest.mark.slow
def test_any_number_of_processes_goes_on_from_a_saved_run(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    train(tmp_path / "cut", until=2)
    train_in_two(tmp_path / "cut", until=6)
    train(tmp_path / "cut")
    assert_same_files(tmp_path / "whole", tmp_path / "cut")


def test_shares_are_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = toy_batches(tmp_path, dataclasses.replace(TALK, batch=5)).draw(1).noised()
    shares = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "processes", lambda rank=rank: (rank, 2))
        shares.append(share(batch))
    assert [len(s.tasks) for s in shares] == [3, 2]
    for name, value in vars(batch).items():
        for row, expected in enumerate(value if isinstance(value, torch.Tensor | tuple) else ()):
            found = getattr(shares[row % 2], name)[row // 2]
            assert torch.equal(found, expected) if isinstance(expected, torch.Tensor) else found == expected, name
    monkeypatch.setattr(distributed, "processes", lambda: (0, 8))
    with pytest.raises(ConfigError, match="5 rows cannot be shared by 8 processes"):
        share(batch)


@pytest.mark.slow
def test_with_muon_every_process_has_the_whole_model(tmp_path: Path) -> None:
    """Speech alone, where the video stream must stay as it is, then all tasks; uneven shares, stopped inside the second stage."""
    wishes = {"until": 6, "batch": 5, "accumulate": 2, "optimizer": "muon"}
    reports = train_in_two(tmp_path / "two", **wishes)
    one = train(tmp_path / "one", **wishes)
    assert_same_files(tmp_path / "one", tmp_path / "two")
    assert losses(tmp_path / "two") == [pytest.approx(line, rel=1e-4) for line in losses(tmp_path / "one")]
    whole = 2 * sum(p.numel() for p in one.learner.parameters())
    assert all(report["ranks"] == 2 and report["values here"] == 0 and report["values"] == whole for report in reports)
    assert reports[0]["weights"] == reports[1]["weights"]


def test_muon_keeps_the_model_whole(tmp_path: Path) -> None:
    assert shards(toy_config(tmp_path, dataclasses.replace(VOICE, optimizer="adamw")))
    assert not shards(toy_config(tmp_path, VOICE, dataclasses.replace(TALK, optimizer="adamw")))


def test_conditions_of_a_step_equal_prepared_ones() -> None:
    learner = toy_learner()
    text, voice, gate = torch.randn(3, 16, 12), torch.randn(3, 3, 6), torch.tensor([1.0, 0.0, 1.0])
    prepared = learner.transformer.prepare(text, voice, gate)
    made = conditions_for_training(learner.transformer, text, voice, gate, video=True)
    for stream in ("video", "audio"):
        for block, (a, b) in enumerate(zip(getattr(prepared, stream), getattr(made, stream), strict=True)):
            assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True)), (stream, block)
    assert torch.equal(prepared.gate, made.gate)
    assert not conditions_for_training(learner.transformer, text, voice, gate, video=False).video
