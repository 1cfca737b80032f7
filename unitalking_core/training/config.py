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

SCHEDULES = ("constant", "cosine", "linear", "late")
"""Of the learning rate over a stage; "late" is constant first and falls to nothing over the last part."""


@dataclass(frozen=True)
class CodecConfig:
    """How the codecs are learned from the corpus. `steps` of 0 leaves the linear projections alone."""

    video_clips: int = 300
    video_steps: int = 400
    video_batch: int = 8
    polish_steps: int = 0
    audio_steps: int = 800
    audio_batch: int = 32
    lr: float = 1e-3
    whitening: float = 0.5
    """How far channels are brought to equal variance in the model's space: 0 leaves them, 1 makes all equal."""


@dataclass(frozen=True)
class Stage:
    """One stage. `tasks` maps names of the task table to weights; `trainable` are patterns a parameter's name must begin with.

    Dropouts are probabilities, each drawn on its own: of the text, of the voice, of the cross-stream half of joint attention.
    """

    name: str
    steps: int
    batch: int
    lr: float
    tasks: Mapping[str, float]
    trainable: tuple[str, ...] = ("",)
    drop_text: float = 0.15
    drop_voice: float = 0.15
    drop_cross: float = 0.1
    shift: float = 1.0
    schedule: str = "constant"
    warmup: int = 100
    ema: float = 0.999
    clip: float = 1.0
    optimizer: str = "muon"
    weight_decay: float = 0.01
    motion: float = 0.0
    """Extra weight of the places of a clip that move, in units of its average motion: lips are a small part of a picture."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.tasks) - set(TASKS))
        if unknown:
            raise ConfigError(f"stage {self.name}: unknown tasks {', '.join(unknown)}; the table has {', '.join(TASKS)}")
        if not self.tasks or min(self.tasks.values()) < 0 or sum(self.tasks.values()) <= 0:
            raise ConfigError(f"stage {self.name}: task weights must not be negative and must not all be 0")
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"stage {self.name}: unknown schedule '{self.schedule}'; there are {', '.join(SCHEDULES)}")
        if self.optimizer not in ("muon", "adamw"):
            raise ConfigError(f"stage {self.name}: unknown optimizer '{self.optimizer}'; there are muon, adamw")

    def trains(self, parameter: str) -> bool:
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
    seed: int = 0
    precision: str = "bf16"
    threads: int = 0
    log_every: int = 50
    save_every: int = 500
    export_every: int = 1000
    model_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Entries of the preset's groups to replace, such as {"transformer": {"rope": "index"}}."""
    codecs_from: str = ""
    """Another run whose codecs and latents are used as they are; then the corpus is not read."""

    def __post_init__(self) -> None:
        if self.model not in PRESETS:
            raise ConfigError(f"unknown model preset '{self.model}'; there are {', '.join(PRESETS)}")
        self.preset()

    def preset(self) -> ModelConfig:
        """The model to be trained, before its codecs are known. Raises ConfigError for options that do not fit it."""
        return PRESETS[self.model]().with_options(self.model_options)


def read_training_config(path: str | os.PathLike) -> TrainingConfig:
    """Raises ConfigError when the file does not describe a run."""
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    stages = tuple(_build(Stage, stage, f"{path}: stage {i}") for i, stage in enumerate(raw.pop("stages", [])))
    codecs = _build(CodecConfig, raw.pop("codecs", {}), f"{path}: codecs")
    return _build(TrainingConfig, {**raw, "stages": stages, "codecs": codecs}, str(path))


def _build(cls: type, raw: Mapping[str, Any], where: str) -> Any:
    unknown = sorted(set(raw) - {f.name for f in dataclasses.fields(cls)})
    if unknown:
        raise ConfigError(f"{where}: unknown entries {', '.join(unknown)}")
    try:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()})
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
