"""LoRA: only adapters learn, their file's names are the host's, and what it adds to the weights is scale * B @ A."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training.toy import MODEL, TALK, toy_batches, toy_config, toy_learner, write_store

from unitalking_core import checkpoint
from unitalking_core.config import ConfigError
from unitalking_core.training.config import LoraOptions, Stage, TrainingConfig
from unitalking_core.training.lora import add_adapters, merge_adapters, save_adapters
from unitalking_core.training.objective import Learner
from unitalking_core.training.run import ship
from unitalking_core.training.trainer import Trainer

OPTIONS = LoraOptions(rank=3, alpha=6, targets=("self_attn", r"audio\.blocks\.1\.ffn"))


@pytest.fixture(autouse=True)
def _peft() -> None:
    pytest.importorskip("peft", reason="peft is not installed")


def adapted_run(folder: Path, **values: object) -> tuple[TrainingConfig, Trainer]:
    """A LoRA run of the toy from a checkpoint whose weights are all alive."""
    start = toy_learner(seed=4)
    with torch.no_grad():
        for parameter in start.parameters():
            parameter.normal_(std=0.2)
    ship(str(folder / "start.safetensors"), MODEL, dict(start.named_parameters()), {})
    stage = dataclasses.replace(TALK, optimizer="adamw", lora=OPTIONS, lr=0.01, **values)
    config = toy_config(folder, stages=(stage,), start=str(folder / "start.safetensors"))
    return config, Trainer(config, MODEL, lambda _: write_store(folder / "latents"), lambda average, steps: None)


def test_only_adapters_learn_and_the_run_resumes(tmp_path: Path) -> None:
    (tmp_path / "cut").mkdir()
    _, run = adapted_run(tmp_path)
    before = {name: value.clone() for name, value in run.learner.state_dict().items()}
    assert run.run()
    changed = {name for name, value in run.learner.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if ".lora_" in name}
    assert not adapted_run(tmp_path / "cut")[1].run(until=2)
    resumed = adapted_run(tmp_path / "cut")[1]
    assert resumed.run()
    for name, value in run.learner.state_dict().items():
        assert torch.equal(value, resumed.learner.state_dict()[name]), name


def test_the_file_is_the_difference(tmp_path: Path) -> None:
    """The adapted model equals the plain one with scale * B @ A of the file added to the layers that its keys name."""
    config, run = adapted_run(tmp_path)
    run.run()
    # Whole numbers of 1/64 survive the file's half precision.
    weights = {name: (value * 64).round() / 64 if ".lora_" in name else value for name, value in run.learner.state_dict().items()}
    run.learner.load_state_dict(weights)
    save_adapters(tmp_path / "lora.safetensors", weights, OPTIONS)
    file = load_file(tmp_path / "lora.safetensors")

    plain = Learner(MODEL)
    checkpoint.load_into(plain.transformer, checkpoint.load(config.start).part(checkpoint.TRANSFORMER), "transformer", torch.float32)
    checkpoint.load_into(plain.text_encoder, checkpoint.load(config.start).part(checkpoint.TEXT_ENCODER), "text encoder", torch.float32)
    merged = merge_adapters(weights, OPTIONS)
    batch = toy_batches(tmp_path / "latents", TALK).draw(3).to("cpu")
    expected = run.learner(batch).total
    assert not torch.allclose(plain(batch).total, expected, rtol=1e-3)
    in_memory = {f"diffusion_model.{name}": value for name, value in plain.transformer.named_parameters()}
    layers = {key.removesuffix(".alpha") for key in file if key.endswith(".alpha")}
    assert set(file) == {f"{layer}.{part}" for layer in layers for part in ("alpha", "lora_A.weight", "lora_B.weight")}
    with torch.no_grad():
        for layer in layers:
            a, b, alpha = (file[f"{layer}.{part}"].float() for part in ("lora_A.weight", "lora_B.weight", "alpha"))
            assert a.shape[0] == b.shape[1] == OPTIONS.rank
            in_memory[f"{layer}.weight"] += alpha / a.shape[0] * b @ a
    torch.testing.assert_close(plain(batch).total, expected)
    torch.testing.assert_close(merged, plain.state_dict())


def test_targets_choose_layers() -> None:
    names = add_adapters(toy_learner(), OPTIONS)
    attention = [f"{stream}blocks.{i}.self_attn.{layer}" for stream in ("", "audio.") for i in range(2) for layer in "qkvo"]
    assert sorted(names) == sorted([*attention, "audio.blocks.1.ffn.0", "audio.blocks.1.ffn.2"])
    video = toy_learner()
    add_adapters(video, LoraOptions(2, 2, (r"^blocks\.0\.self_attn\.q$",)))
    adapted = [name for name, _ in video.named_parameters() if ".lora_" in name]
    assert adapted == [f"transformer.blocks.0.self_attn.q.lora_{part}.default.weight" for part in "AB"]
    with pytest.raises(ConfigError, match="no linear layer's name holds wings"):
        add_adapters(toy_learner(), LoraOptions(2, 2, ("wings",)))


def test_wrong_wishes_are_refused(tmp_path: Path) -> None:
    stage = dataclasses.replace(TALK, lora=OPTIONS)
    with pytest.raises(ConfigError, match="'start' must name the checkpoint"):
        toy_config(tmp_path, stage)
    with pytest.raises(ConfigError, match="must be the run's only one"):
        toy_config(tmp_path, stages=(stage, Stage("more", 1, 1, 1.0, {"T2A": 1})), start="x.safetensors")
    with pytest.raises(ConfigError, match="rank of at least 1"):
        LoraOptions(0, 1)
