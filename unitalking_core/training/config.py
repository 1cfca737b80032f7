"""A training run as data, read from JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import ConfigError, ModelConfig
from ..presets import PRESETS
from ..tasks import TASKS
from .precision import PRECISIONS

SCHEDULES = ("constant", "cosine", "linear", "late")
"""Of the learning rate over a stage; "late" is constant first and falls to nothing over the last part."""
DEVICES = ("auto", "cpu", "cuda", "mps")
NOISE = ("uniform", "logit-normal")
"""Distributions of the noise level, before its shift."""


@dataclass(frozen=True)
class CodecConfig:
    """How the codecs are learned from the corpus. `steps` of 0 leaves the linear projections alone."""

    video_clips: int = 300
    video_steps: int = 400
    relearn_video: bool = False
    """The video codec of 'start' goes on learning as a whole. Latents that it made before are of no use then."""
    video_batch: int = 8
    polish_steps: int = 0
    audio_steps: int = 800
    audio_batch: int = 32
    lr: float = 1e-3
    mouth: float = 4.0
    """Extra weight of the mouth in the video codec's error, where the corpus says where it is: lips are small and quick."""
    whitening: float = 0.5
    """How far channels are brought to equal variance in the model's space: 0 leaves them, 1 makes all equal."""


@dataclass(frozen=True)
class LoraOptions:
    """Train low-rank adapters alone: rank, scale (alpha / rank), and patterns one of which a layer's name must hold ("self_attn")."""

    rank: int
    alpha: int
    targets: tuple[str, ...] = ("self_attn", "cross_attn", "ffn")

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not self.targets:
            raise ConfigError(f"lora needs a rank of at least 1, an alpha above 0 and targets, got {self}")


@dataclass(frozen=True)
class Stage:
    """One stage. `tasks` maps names of the task table to weights; `trainable` are patterns a parameter's name must begin with.

    `batch` is how many of the shortest clips make a batch (longer ones: fewer), `accumulate` how many batches make a step. Dropouts are
    probabilities, each drawn on its own: of the text, of the voice, of the cross-stream half of joint attention.
    """

    name: str
    steps: int
    batch: int
    lr: float
    tasks: Mapping[str, float]
    trainable: tuple[str, ...] = ("",)
    accumulate: int = 1
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    """Of the streams' mean losses, "video" and "audio", 1 unless they are told."""
    drop_text: float = 0.15
    drop_voice: float = 0.15
    drop_cross: float = 0.1
    noise: str = "uniform"
    noise_mean: float = 0.0
    noise_std: float = 1.0
    """Of the logit, where the noise is "logit-normal"."""
    shift: float = 1.0
    schedule: str = "constant"
    warmup: int = 100
    ema: float = 0.999
    clip: float = 1.0
    optimizer: str = "muon"
    betas: tuple[float, float] = (0.9, 0.98)
    """Of AdamW."""
    lora: LoraOptions | None = None
    weight_decay: float = 0.01
    motion: float = 0.0
    """Extra weight of the places of a clip that move, in units of its average motion: lips are a small part of a picture."""
    mouth: float = 0.0
    """Extra weight of the mouth, where the corpus says where it is."""
    look: float = 0.0
    """Weight of a loss that draws the sound's attention to the mouth (`looking`)."""
    keep: float = 0.0
    """How much of what is aimed at, 0 to 1, is what the run's 'start' made of the same batch in place of the data: little is forgotten, and
    little is learned but what another loss asks for."""
    like: float = 0.0
    """Weight of a loss that draws the voice of what is said to that of its reference (`likeness`); it is meant to stand beside `keep`."""
    repeats: Mapping[str, int] = field(default_factory=dict)
    """How often a clip of a split is met while one of another split is met once; 0 leaves the split out."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.tasks) - set(TASKS))
        if unknown:
            raise ConfigError(f"stage {self.name}: unknown tasks {', '.join(unknown)}; the table has {', '.join(TASKS)}")
        if not self.tasks or min(self.tasks.values()) < 0 or sum(self.tasks.values()) <= 0:
            raise ConfigError(f"stage {self.name}: task weights must not be negative and must not all be 0")
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"stage {self.name}: unknown schedule '{self.schedule}'; there are {', '.join(SCHEDULES)}")
        if self.noise not in NOISE:
            raise ConfigError(f"stage {self.name}: unknown noise '{self.noise}'; there are {', '.join(NOISE)}")
        if self.batch < 1 or self.accumulate < 1:
            raise ConfigError(f"stage {self.name}: batch and accumulate must be at least 1, got {self.batch} and {self.accumulate}")
        if set(self.loss_weights) - {"video", "audio"} or min(self.loss_weights.values(), default=0) < 0:
            raise ConfigError(f"stage {self.name}: loss_weights are for video and audio and not negative, got {dict(self.loss_weights)}")
        if not 0 <= self.keep <= 1:
            raise ConfigError(f"stage {self.name}: keep must be between 0 and 1, got {self.keep}")
        if self.like < 0:
            raise ConfigError(f"stage {self.name}: like must not be negative, got {self.like}")
        if any(not isinstance(count, int) or count < 0 for count in self.repeats.values()):
            raise ConfigError(f"stage {self.name}: repeats must be whole numbers and not negative, got {dict(self.repeats)}")
        if self.optimizer not in ("muon", "adamw"):
            raise ConfigError(f"stage {self.name}: unknown optimizer '{self.optimizer}'; there are muon, adamw")

    def trains(self, parameter: str) -> bool:
        """By its name in a checkpoint or in `Learner`."""
        parameter = parameter.removeprefix("module.").removeprefix("transformer.")
        if self.lora is not None:
            return ".lora_" in parameter
        return any(re.match(pattern, parameter) for pattern in self.trainable)


@dataclass(frozen=True)
class TrainingConfig:
    """A run. Folders are relative to the working directory; `export` is where the shipped checkpoint goes."""

    model: str
    corpus: str
    run: str
    export: str
    stages: tuple[Stage, ...]
    codecs: CodecConfig = field(default_factory=CodecConfig)
    start: str = ""
    """A checkpoint whose weights and codecs the run begins with; without one it begins with chance."""
    warm_start: str = ""
    """A checkpoint of another shape: weights are taken where name and shape are those of the preset, and the sound's codec goes on from
    its own where that is of the same build. The rest begins with chance."""
    latents: str = ""
    """A folder of latents that are ready (a store or tar shards); then nothing is encoded."""
    text_encoder: str = ""
    vae: str = ""
    audio_codec: str = ""
    """Files of the public models that the model names: UMT5-XXL, Wan2.2's VAE and a converted audio codec, as `generate` takes them."""
    seed: int = 0
    precision: str = "auto"
    """One of PRECISIONS of `precision`: "auto" is bf16 where the device multiplies in it by itself."""
    device: str = "auto"
    threads: int = 0
    workers: int = 0
    """Processes that draw batches and read clips ahead; with 0 the trainer does it between its steps."""
    checkpoint_activations: bool = False
    """Keep only what enters each block and compute the rest again on the way back: less memory, about a third more time."""
    log_every: int = 50
    save_every: int = 500
    export_every: int = 1000
    sample_every: int = 0
    """0 makes no samples."""
    sample_clips: int = 3
    tensorboard: bool = False
    model_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Entries of the preset's groups to replace, such as {"transformer": {"rope": "index"}}."""
    codecs_from: str = ""
    """Another run whose codecs and latents are used as they are; then the corpus is not read, but for its guests."""

    def __post_init__(self) -> None:
        if self.model not in PRESETS:
            raise ConfigError(f"unknown model preset '{self.model}'; there are {', '.join(PRESETS)}")
        self.preset()
        if self.precision not in PRECISIONS:
            raise ConfigError(f"unknown precision '{self.precision}'; there are {', '.join(PRECISIONS)}")
        if self.device not in DEVICES:
            raise ConfigError(f"unknown device '{self.device}'; there are {', '.join(DEVICES)}")
        if any(stage.lora for stage in self.stages) and (len(self.stages) > 1 or not self.start):
            raise ConfigError("a stage with lora must be the run's only one, and 'start' must name the checkpoint that it adapts")

    def preset(self) -> ModelConfig:
        """The model to be trained, before its codecs are known. Raises ConfigError for options that do not fit it."""
        return PRESETS[self.model]().with_options(self.model_options)


def read_training_config(path: str | os.PathLike) -> TrainingConfig:
    """Raises ConfigError when the file does not describe a run."""
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    stages = tuple(_stage(stage, f"{path}: stage {i}") for i, stage in enumerate(raw.pop("stages", [])))
    codecs = _build(CodecConfig, raw.pop("codecs", {}), f"{path}: codecs")
    return _build(TrainingConfig, {**raw, "stages": stages, "codecs": codecs}, str(path))


def _stage(raw: dict[str, Any], where: str) -> Stage:
    lora = raw.pop("lora", None)
    return _build(Stage, {**raw, "lora": None if lora is None else _build(LoraOptions, lora, f"{where}: lora")}, where)


def _build(cls: type, raw: Mapping[str, Any], where: str) -> Any:
    unknown = sorted(set(raw) - {f.name for f in dataclasses.fields(cls)})
    if unknown:
        raise ConfigError(f"{where}: unknown entries {', '.join(unknown)}")
    try:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()})
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
