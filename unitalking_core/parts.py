"""A model's text encoder and codecs: bundled in its checkpoint, or public models that it names and that lie in files of their own.

Public ones are read in their published layouts: Wan2.2's VAE (Wan's, ComfyUI's and diffusers' names), UMT5-XXL (Wan's, ComfyUI's and
transformers', also fp8 with scales), and audio codecs made by `unitalking convert-audio-codec`. Safetensors only, one file or shards.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from . import checkpoint as checkpoints
from .checkpoint import AUDIO_CODEC, TEXT_ENCODER, VIDEO_CODEC, Checkpoint, CheckpointError
from .checkpoint.quantization import is_description, present_spelling
from .checkpoint.source import open_source
from .codecs import build_audio_codec, build_video_codec, wan
from .codecs.audio_file import load_audio_codec
from .conditions import umt5
from .conditions.text import build_text_encoder
from .config import ConfigError, ModelConfig

UMT5, WAN22_VAE = "umt5-xxl", "wan2.2-vae"
OWN_NAMES = {UMT5: umt5.own_names, WAN22_VAE: wan.own_names}
SPIECE = ("spiece.model", "../tokenizer/spiece.model", "google/umt5-xxl/spiece.model")
"""Where published folders have the tokenizer, from the text encoder's file."""


def load_part(checkpoint: Checkpoint, part: str, file: str | os.PathLike | None = None) -> nn.Module:
    """The text encoder or a codec, from `file` or else out of the checkpoint. Raises CheckpointError, ConfigError.

    UMT5-XXL comes in bfloat16, in which it was trained, everything else in float32.
    """
    config, title = checkpoint.config, part.replace("_", " ")
    name = {TEXT_ENCODER: config.text.encoder, VIDEO_CODEC: config.video.codec, AUDIO_CODEC: config.audio.codec}[part]
    if file is None and part not in checkpoint.parts:
        raise CheckpointError(f"{checkpoint.path.name} does not hold its {title} '{name}'; name a file of it")
    if file is not None and part == AUDIO_CODEC:
        checkpoints.require_codec(file, name)
        return load_audio_codec(file)[1]
    if file is not None and name not in OWN_NAMES:
        raise CheckpointError(f"{checkpoint.path.name} has a {title} of its own ('{name}'); no other file can stand in for it")
    state = checkpoint.parts[part] if file is None else _read(file)
    with torch.device("meta" if name in OWN_NAMES else "cpu"):
        module = build_part(config, part)
    where = checkpoint.path if file is None else Path(file)
    if isinstance(module, umt5.UMT5TextEncoder):
        _give_tokenizer(module, state, where)
    own = OWN_NAMES[name](state) if name in OWN_NAMES else state
    checkpoints.load_into(module, own, f"{title} {where.name}", torch.bfloat16 if name == UMT5 else torch.float32)
    return module.eval().requires_grad_(False)


def build_part(config: ModelConfig, part: str) -> nn.Module:
    """The module that the configuration names. Raises ConfigError for an unknown name or a missing package."""
    if part == TEXT_ENCODER:
        return build_text_encoder(config.text, config.transformer.text_dim)
    return build_video_codec(config.video) if part == VIDEO_CODEC else build_audio_codec(config.audio)


def _read(file: str | os.PathLike) -> dict[str, Tensor]:
    source = open_source(file)
    return {present_spelling(name): source.read(name) for name in source.tensors if not is_description(name)}


def _give_tokenizer(encoder: umt5.UMT5TextEncoder, state: dict[str, Tensor], where: Path) -> None:
    """Inside the file, as ComfyUI's have it, or beside it."""
    if umt5.TOKENIZER in state:
        return encoder.set_tokenizer(bytes(state[umt5.TOKENIZER].tolist()))
    folder = where if where.is_dir() else where.parent
    found = next((folder / name for name in SPIECE if (folder / name).is_file()), None)
    if found is None:
        raise ConfigError(f"{where.name} holds no tokenizer: put spiece.model of google/umt5-xxl beside it")
    return encoder.set_tokenizer(found.read_bytes())
