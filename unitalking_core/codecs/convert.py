"""`unitalking convert-audio-codec`: a published VAE and vocoder -> one safetensors file.

For the command line alone: the originals exist as pickles only, which a node never reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..checkpoint import CheckpointError
from ..checkpoint.pickled import unpickle
from ..config import AudioConfig
from .audio_file import write_audio_codec
from .mmaudio import mmaudio_config
from .published import vae_state, vocoder_state

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def convert(vae: Path, vocoder: Path, out: Path, dtype: torch.dtype = torch.float32) -> AudioConfig:
    """Published VAE and vocoder -> one file, written whole or not at all. Raises CheckpointError."""
    if out.suffix != ".safetensors":
        raise CheckpointError(f"{out.name} must end in .safetensors, or ComfyUI does not list it")
    codec, hidden, state = vae_state(read_weights(vae), vae.name)
    other, channels, waves = vocoder_state(read_weights(vocoder), vocoder.name)
    if codec != other:
        raise CheckpointError(f"{vae.name} is the VAE of {codec}, {vocoder.name} the vocoder of {other}; both must be of one")
    config = mmaudio_config(codec, hidden, channels)
    state = {f"vae.{key}": value for key, value in state.items()} | {f"vocoder.{key}": value for key, value in waves.items()}
    write_audio_codec(out, config, {key: _stored(key, value, dtype) for key, value in state.items()})
    return config


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a pickle that holds nothing else. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"no such file: {path}")
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path.name} is cut short, damaged or no file of weights; fetch it again") from error
    content = unpickle(path, "file of weights")
    for wrapping in ("generator", "state_dict", "module"):
        content = content.get(wrapping, content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{path.name} is {_contents(content)}, not a dictionary of tensors")
    return content


def _stored(key: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    """Convolutions in the wanted type; what is small or on a logarithmic scale keeps its 32 bits. Raises CheckpointError."""
    if not key.endswith(".weight"):
        return value
    stored = value.to(dtype)
    if not torch.isfinite(stored).all():
        raise CheckpointError(f"{key} does not fit into {dtype}; convert to fp32 or bf16")
    return stored


def _contents(content: Any) -> str:
    if not isinstance(content, dict):
        return f"a pickled {type(content).__name__}"
    if {"mpd", "mrd"} & set(content):
        return "BigVGAN's discriminator, which only training needs"
    return f"a dictionary with {', '.join(map(str, list(content)[:4])) or 'nothing in it'}"
