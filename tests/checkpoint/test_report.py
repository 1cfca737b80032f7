"""Presets at full size cost nothing to look at, and `info` counts them part by part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny_config, tiny_model

from unitalking_core.checkpoint import TRANSFORMER, save
from unitalking_core.checkpoint.geometry import transformer_shapes
from unitalking_core.checkpoint.report import PARTS, part_of
from unitalking_core.cli import main
from unitalking_core.presets import ten_b

BUILD = """
import time
from unitalking_core.memory import peak_memory
from unitalking_core.presets import PRESETS
from unitalking_core.transformer import UniTalkingTransformer
before, started = peak_memory(), time.process_time()
models = [UniTalkingTransformer(PRESETS[name](), device="meta") for name in ("10b", "10b-16k")]
print(time.process_time() - started, peak_memory() - before)
"""


def test_the_full_size_is_built_in_seconds_and_without_memory() -> None:
    """Two presets, where weights take none: a few seconds of one core and less than 100 MB."""
    run = subprocess.run([sys.executable, "-c", BUILD], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    seconds, added = map(float, run.stdout.split())
    assert seconds < 10
    assert added < 100e6


def test_the_full_size_is_two_wan_towers_and_a_voice_branch_each() -> None:
    counts = dict.fromkeys(PARTS, 0)
    heard = {"": 0, "audio.": 0}
    for name, shape in transformer_shapes(ten_b()).items():
        counts[part_of(name)] += torch.Size(shape).numel()
        if "_voice." in name:
            heard["audio." * name.startswith("audio.")] += torch.Size(shape).numel()
    wan = 4_999_787_712
    assert counts["video stream"] == wan
    sound = (48 * 4 - 40) * 3072 + (192 - 40) * 3073  # what embeds and writes its latents is smaller
    assert counts["audio stream"] == wan - sound
    assert heard == {"": 566_507_520, "audio.": 566_507_520}  # keys, values and their norm, in 30 blocks
    embedding = 41 * 3072 + 3072 * 3073
    assert counts["voice, video stream"] == counts["voice, audio stream"] == 566_507_520 + embedding


def test_info_of_a_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "10b"]) == 0
    printed = capsys.readouterr().out
    for line in ("4,999.79 M parameters in  825 tensors", "576.07 M parameters in  154 tensors", "11,150.79 M parameters in 1958 tensors"):
        assert line in printed
    assert "a file of its own (mmaudio-44k)" in printed


def test_info_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tiny.safetensors"
    save(path, tiny_config(), {TRANSFORMER: tiny_model().state_dict()})
    assert main(["info", str(path), "--check"]) == 0
    printed = capsys.readouterr().out
    assert "tiny.safetensors: a UniTalking checkpoint" in printed
    assert "every weight is a finite number" in printed
    save_file({"conv2.weight": torch.ones(48, 48, 1, 1, 1)}, tmp_path / "vae.safetensors")
    assert main(["info", str(tmp_path / "vae.safetensors")]) == 0
    assert "vae.safetensors: Wan2.2's video VAE" in capsys.readouterr().out


def test_info_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = dict(tiny_model().state_dict())
    state["blocks.0.ffn.0.weight"] = torch.full_like(state["blocks.0.ffn.0.weight"], float("inf"))
    save(tmp_path / "tiny.safetensors", tiny_config(), {TRANSFORMER: state})
    assert main(["info", str(tmp_path / "tiny.safetensors"), "--check"]) == 1
    assert "blocks.0.ffn.0.weight holds NaN or infinite" in capsys.readouterr().err
    assert main(["info", "11b"]) == 1
    assert "the presets are nano, pico, 10b, 10b-16k" in capsys.readouterr().err
