"""The trainer: stages train what they say, and a run that was stopped equals one that was not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from training.toy import MODEL, TALK, VOICE, toy_config, write_store

from unitalking_core import checkpoint
from unitalking_core.config import BLOCK_MODULES, ConfigError, ModelConfig
from unitalking_core.training.config import Stage, TrainingConfig, read_training_config
from unitalking_core.training.run import run, ship
from unitalking_core.training.state import read_position
from unitalking_core.training.trainer import Trainer
from unitalking_core.transformer import UniTalkingTransformer


def trainer(folder: Path, *stages: Stage, exported: list | None = None, model: ModelConfig = MODEL, **values: object) -> Trainer:
    write_store(folder / "latents")
    config = toy_config(folder, *stages, **values)
    export = (lambda average, steps: exported.append(steps)) if exported is not None else (lambda average, steps: None)
    return Trainer(config, model, lambda stage: write_store(folder / "latents"), export)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("stop", [2, 4, 6])
def test_resuming_equals_an_undisturbed_run(tmp_path: Path, optimizer: str, stop: int) -> None:
    stages = [dataclasses.replace(stage, optimizer=optimizer, schedule="linear", accumulate=2) for stage in (VOICE, TALK)]
    whole = trainer(tmp_path / "whole", *stages)
    assert whole.run()
    first = trainer(tmp_path / "cut", *stages)
    assert not first.run(until=stop)
    second = trainer(tmp_path / "cut", *stages)
    torch.manual_seed(99)
    assert second.run()
    for name, value in whole.learner.state_dict().items():
        assert torch.equal(value, second.learner.state_dict()[name]), name
    for name, value in whole.average.items():
        assert torch.equal(value, second.average[name]), name


def test_checkpointed_activations_train_the_same(tmp_path: Path) -> None:
    plain, again = (trainer(tmp_path / str(i), TALK, checkpoint_activations=bool(i)) for i in range(2))
    assert plain.run()
    assert again.run()
    assert again.learner.run_block is not None
    for name, value in plain.learner.state_dict().items():
        assert torch.equal(value, again.learner.state_dict()[name]), name


def test_a_run_whose_streams_share_is_resumed_and_shipped(tmp_path: Path) -> None:
    """Weights, average, optimisers and checkpoint hold what is shared once; the voice stage trains it where its patterns say so."""
    model = MODEL.with_options({"transformer": {"sharing": [[0, 0, ["ffn", "norm3"]], [1, 1, list(BLOCK_MODULES)]]}})
    stages = dataclasses.replace(VOICE, trainable=(*VOICE.trainable, r"blocks\.1\.")), TALK
    whole, first = (trainer(tmp_path / name, *stages, model=model) for name in ("whole", "cut"))
    before = {name: value.clone() for name, value in whole.learner.state_dict().items()}
    assert whole.run()
    assert not first.run(until=6)
    second = trainer(tmp_path / "cut", *stages, model=model)
    assert second.run()
    for name, value in whole.average.items():
        assert torch.equal(value, second.average[name]), name
        assert not torch.equal(value, before[name]), name
    ship(str(tmp_path / "out.safetensors"), model, whole.average, {})
    file = checkpoint.load(tmp_path / "out.safetensors")
    transformer = UniTalkingTransformer(file.config, device="meta")
    checkpoint.load_into(transformer, file.part(checkpoint.TRANSFORMER), "transformer")
    assert not [key for key in file.part(checkpoint.TRANSFORMER) if key.startswith(("audio.blocks.0.ffn", "audio.blocks.1."))]
    assert transformer.audio.blocks[1].ffn[0].weight is transformer.blocks[1].ffn[0].weight


def test_options_of_the_model_and_codecs_of_another_run(tmp_path: Path) -> None:
    config = toy_config(tmp_path, TALK, model="pico", model_options={"transformer": {"rope": "index"}}, codecs_from=str(tmp_path / "other"))
    assert (config.preset().transformer.rope, config.preset().transformer.dim) == ("index", 128)
    with pytest.raises(ConfigError, match=r"has no audio_codec\.safetensors, no video_codec\.safetensors, no latents"):
        run(config)
    with pytest.raises(ConfigError, match="learn them there"):
        run(config, "audio-codec")
    with pytest.raises(ConfigError, match="unknown entries wings"):
        toy_config(tmp_path, TALK, model_options={"transformer": {"wings": 2}})


def test_the_first_stage_touches_the_audio_side_alone(tmp_path: Path) -> None:
    run = trainer(tmp_path, VOICE)
    before = {name: value.clone() for name, value in run.learner.state_dict().items()}
    run.run()
    changed = {name for name, value in run.learner.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("transformer.audio.", "text_encoder.")) for name in changed)
    assert "transformer.audio.head.head.weight" in changed
    assert "text_encoder.embed.weight" in changed


def test_losses_are_told_by_task_and_checkpoints_exported(tmp_path: Path) -> None:
    exported: list[int] = []
    trainer(tmp_path, VOICE, TALK, exported=exported).run()
    assert exported == [4, 8]
    lines = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert lines[0]["stage"] == "voice"
    assert set(lines[0]) == {"stage", "total", "seconds_per_step", "T2A.audio", "learning_rate", "gradient_norm"}
    assert lines[0]["learning_rate"] == pytest.approx(VOICE.lr)


def test_a_state_from_before_the_journal_was_kept_resumes(tmp_path: Path) -> None:
    assert not trainer(tmp_path, VOICE).run(until=3)
    state = tmp_path / "state.safetensors"
    tensors = load_file(state)
    position = {name: value for name, value in (read_position(state) or {}).items() if name in ("stage", "step", "total", "clips")}
    assert position == {"stage": 0, "step": 3, "total": 3, "clips": 10}
    save_file(tensors, state, metadata={"position": json.dumps(position)})
    again = trainer(tmp_path, VOICE)
    assert again.run()
    whole = trainer(tmp_path / "whole", VOICE)
    whole.run()
    for name, value in whole.learner.state_dict().items():
        assert torch.equal(value, again.learner.state_dict()[name]), name


def test_samples_are_asked_for_with_the_average_and_the_stage(tmp_path: Path) -> None:
    asked: list[tuple] = []
    run = trainer(tmp_path, VOICE, TALK, sample_every=3)
    shown = "transformer.audio.head.head.weight"
    run.sample = lambda average, stage, steps: asked.append((torch.equal(average[shown], run.average[shown]), stage.name, steps))
    run.run()
    assert asked == [(True, "voice", 3), (True, "talk", 6)]
    assert not torch.equal(run.average[shown], run.learner.transformer.audio.head.head.weight)


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert trainer(tmp_path, VOICE, device="cpu").accelerator.device.type == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no device 'cuda'"):
            trainer(tmp_path, VOICE, device="cuda")
    with pytest.raises(ConfigError, match="unknown device 'tpu'"):
        toy_config(tmp_path, VOICE, device="tpu")


def test_configurations_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    raw = {
        "model": "nano",
        "corpus": "a",
        "run": "b",
        "export": "c",
        "stages": [{"name": "x", "steps": 1, "batch": 1, "lr": 1, "tasks": {"T2A": 1}}],
    }
    path.write_text(json.dumps(raw))
    config = read_training_config(path)
    assert isinstance(config, TrainingConfig)
    assert config.stages[0].trains("anything.weight")
    raw["stages"][0]["tasks"] = {"T2X": 1}
    path.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match="unknown tasks T2X"):
        read_training_config(path)
    for option, message in (
        ({"noise": "pink"}, "stage x: unknown noise 'pink'; there are uniform, logit-normal"),
        ({"accumulate": 0}, "accumulate must be at least 1, got 1 and 0"),
        ({"loss_weights": {"sound": 1}}, "loss_weights are for video and audio"),
    ):
        path.write_text(json.dumps({**raw, "stages": [{"name": "x", "steps": 1, "batch": 1, "lr": 1, "tasks": {"T2A": 1}, **option}]}))
        with pytest.raises(ConfigError, match=message):
            read_training_config(path)
    path.write_text(json.dumps({**raw, "stages": [], "wings": 2}))
    with pytest.raises(ConfigError, match="unknown entries wings"):
        read_training_config(path)


def test_the_shipped_configurations_are_valid() -> None:
    for folder in ("nano", "ablations"):
        paths = list((Path(__file__).parents[2] / "configs" / folder).glob("*.json"))
        assert paths
        assert all(read_training_config(path).stages for path in paths)
