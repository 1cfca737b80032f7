"""A speaker encoder's file: made once from the published pickle by the command line, read by nodes as plain tensors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import CheckpointError, load_into, write_atomically
from ..checkpoint.container import check_numbers, open_container
from ..checkpoint.pickled import unpickle
from ..config import ConfigError
from .redimnet import KNOWN, SAMPLE_RATE, ReDimNet
from .voice import ReferenceVoice

METADATA = "speaker_encoder"
FORMAT = "unitalking-speaker-encoder/1"
LONGEST_SECONDS = 30.0
"""NAVA hears the first seconds of a recording (its vae/local_audio_vae.py)."""
SOURCE = (
    "make it with `unitalking convert-speaker-encoder` from M-vb2+vox2+cnc-ft_mix.pt of github.com/IDRnD/ReDimNet/releases (MIT licence)"
)


def convert(published: Path, out: Path) -> ReDimNet:
    """A published ReDimNet (`model_config`, `state_dict`) -> a safetensors file. Raises CheckpointError, ConfigError."""
    if out.suffix != ".safetensors":
        raise CheckpointError(f"{out.name} must end in .safetensors, or ComfyUI does not list it")
    content = unpickle(published, "published ReDimNet")
    try:
        config, state = dict(content["model_config"]), dict(content["state_dict"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{published.name} is no published ReDimNet: no model_config and state_dict in it") from error
    told = {key: config[key] for key in KNOWN if key in config}
    told |= {key: config[key] for key in ("emb_bn",) if config.get(key)}
    unused = ("spec.", "cls_head.")
    weights = {key: value.contiguous() for key, value in state.items() if not key.startswith(unused) and "num_batches" not in key}
    for key, value in weights.items():
        check_numbers(published, key, value)
    encoder = _built(told, weights, published.name)
    write_atomically(out, weights, {METADATA: json.dumps({"format": FORMAT, "config": told}, sort_keys=True)})
    return encoder


def load(path: str | os.PathLike) -> ReDimNet:
    """The speaker encoder of a file that `convert` wrote. Raises CheckpointError, ConfigError."""
    file = open_container(path)
    try:
        told: dict[str, Any] = json.loads(file.metadata[METADATA])
        if told["format"] != FORMAT:
            raise ValueError(f"format {told['format']}")
        config = dict(told["config"])
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{file.path.name} is no speaker encoder; {SOURCE}") from error
    return _built(config, {name: file.read(name) for name in file.tensors}, file.path.name)


def speaker_vector(encoder: ReDimNet, voice: ReferenceVoice) -> Tensor:
    """A recording at SAMPLE_RATE -> (1, S, 1)."""
    with torch.no_grad():
        return encoder(voice.waveform)[..., None]


def _built(config: dict[str, Any], weights: dict[str, Tensor], name: str) -> ReDimNet:
    try:
        encoder = ReDimNet(config)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise CheckpointError(f"{name} describes a network that cannot be built: {error}") from error
    own = {key: value for key, value in encoder.state_dict().items() if key.startswith("mel.") or key.endswith("num_batches_tracked")}
    load_into(encoder, {**weights, **own}, f"speaker encoder {name}", torch.float32)
    return encoder.eval().requires_grad_(False)


__all__ = ["LONGEST_SECONDS", "SAMPLE_RATE", "SOURCE", "ReDimNet", "convert", "load", "speaker_vector"]
