"""An audio codec in one safetensors file: what `unitalking convert-audio-codec` writes and everything else reads.

Keys carry the prefix of a checkpoint's audio codec (`audio_codec.vae...`, `audio_codec.vocoder...`), so that ComfyUI does not take the file
for its own 16 kHz VAE; the metadata says which codec it is. A file that lost its metadata is recognised by names and shapes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ..checkpoint import AUDIO_CODEC, CheckpointError, load_into
from ..checkpoint.container import open_container, writing
from ..checkpoint.detection import identify
from ..config import AudioConfig
from .mmaudio import MODES, MMAudioCodec, mmaudio_config
from .published import recognise_vae, recognise_vocoder

METADATA = "audio_codec"
FORMAT = "unitalking-audio-codec/1"
PREFIX = f"{AUDIO_CODEC}."


def write_audio_codec(path: Path, config: AudioConfig, state: Mapping[str, Tensor]) -> None:
    """A codec's state with its configuration, atomically. Raises CheckpointError where the disk has no room for it."""
    described = {"format": FORMAT, "codec": config.codec, "options": dict(config.options)}
    announced = {PREFIX + key: (value.dtype, tuple(value.shape)) for key, value in state.items()}
    with writing(path, announced, {METADATA: json.dumps(described)}) as put:
        for key, value in state.items():
            put(PREFIX + key, value)


def read_audio_codec(path: str | os.PathLike) -> tuple[AudioConfig, dict[str, Tensor]]:
    """Configuration and state, memory-mapped. Raises CheckpointError that says what the file is where it is another."""
    file = open_container(path)
    names = [key for key in file.tensors if key.startswith((f"{PREFIX}vae.", f"{PREFIX}vocoder."))]
    if not names:
        found = identify({key: info.shape for key, info in file.tensors.items()}, file.metadata)
        made_by = "an audio codec made by `unitalking convert-audio-codec`"
        raise CheckpointError(f"{file.path.name}: this is {found.title}; {made_by} is expected")
    with safe_open(file.path, framework="pt") as mapped:
        state = {key.removeprefix(PREFIX): mapped.get_tensor(key) for key in names}
    metadata = file.metadata.get(METADATA)
    return _described(metadata, file.path.name) if metadata else _recognised(state, file.path.name), state


def load_audio_codec(
    path: str | os.PathLike, build: Callable[[AudioConfig], nn.Module] = MMAudioCodec, dtype: torch.dtype | None = torch.float32
) -> tuple[AudioConfig, nn.Module]:
    """The codec of a file, its weights copied in `dtype` (None: memory-mapped, as stored). Raises CheckpointError."""
    config, state = read_audio_codec(path)
    with torch.device("meta"):
        codec = build(config)
    load_into(codec, state, f"audio codec {Path(path).name}", dtype)
    return config, codec.eval().requires_grad_(False)


def _described(metadata: str, name: str) -> AudioConfig:
    try:
        described: dict[str, Any] = json.loads(metadata)
        if described["format"] != FORMAT or described["codec"] not in MODES:
            raise ValueError(f"format {described['format']}, codec {described['codec']}")
        mode, options = MODES[described["codec"]], described["options"]
        sizes = options.get("hidden", mode.hidden), options.get("vocoder_channels", mode.vocoder.channels)
        return mmaudio_config(described["codec"], *map(int, sizes))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{name} is described as something this version does not know ({error}); update the pack") from error


def _recognised(state: dict[str, Tensor], name: str) -> AudioConfig:
    parts = {part: {k.removeprefix(part): v for k, v in state.items() if k.startswith(part)} for part in ("vae.", "vocoder.")}
    codec, hidden = recognise_vae(parts["vae."], name)
    other, channels = recognise_vocoder(parts["vocoder."], name)
    if codec != other:
        raise CheckpointError(f"{name} pairs the VAE of {codec} with the vocoder of {other}")
    return mmaudio_config(codec, hidden, channels)
