"""The public codecs and text encoder of a run, which it uses and does not train: read from their files when something needs them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .. import checkpoint
from ..checkpoint import AUDIO_CODEC, TEXT_ENCODER, VIDEO_CODEC, Checkpoint
from ..conditions.text import LEARNED
from ..config import ConfigError
from ..parts import load_part
from ..tasks import TASKS, Given
from .config import TrainingConfig
from .learned import learns_codecs

ENTRIES = {TEXT_ENCODER: "text_encoder", VIDEO_CODEC: "vae", AUDIO_CODEC: "audio_codec"}
"""Entries of a configuration that name files, by part."""


def starting_point(config: TrainingConfig) -> Checkpoint:
    """The checkpoint that the run starts from, or the preset's configuration as one without weights. Raises CheckpointError."""
    return checkpoint.load(config.start) if config.start else Checkpoint(Path(config.model), config.preset(), {})


def public_parts(config: TrainingConfig, start: Checkpoint) -> dict[str, Callable[[], Any]]:
    """By part, what loads it: out of the file that the configuration names, or else out of the checkpoint.

    Raises ConfigError where neither holds it, unless the latents are there already.
    """
    model, codecs_learn = start.config, learns_codecs(start.config)
    named = {
        TEXT_ENCODER: (model.text.encoder, model.text.encoder in LEARNED),
        VIDEO_CODEC: (model.video.codec, codecs_learn),
        AUDIO_CODEC: (model.audio.codec, codecs_learn),
    }
    ready = config.latents or (config.codecs_from and not config.sample_every)
    shown = any(TASKS[task].video is not Given.ABSENT for stage in config.stages for task in stage.tasks)
    found: dict[str, Callable[[], Any]] = {}
    for part, (name, learns) in named.items():
        entry, title = ENTRIES[part], part.replace("_", " ")
        file = getattr(config, entry)
        if learns and file:
            raise ConfigError(f"'{entry}' names {file}, and the {title} of '{model.name}' is learned")
        if file and not Path(file).exists():
            raise ConfigError(f"'{entry}' names {file}, which is not there")
        if learns:
            continue
        if not (file or part in start.parts or ready or (part == VIDEO_CODEC and not shown)):
            raise ConfigError(
                f"'{model.name}' has a public {title}, '{name}': set '{entry}' to its file, or 'latents' to latents that are ready"
            )
        found[part] = partial(_load, start, part, file or None, _device(config))
    return found


def _load(start: Checkpoint, part: str, file: str | None, device: str) -> Any:
    return load_part(start, part, file).to(device)


def _device(config: TrainingConfig) -> str:
    return ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
