"""UniTalking's own files: one safetensors file, its configuration in the metadata, nothing that could execute code.

Keys: the transformer's are bare (`blocks.0...`, `audio.blocks.0...`); bundled parts carry their name as prefix (`text_encoder.`,
`video_codec.`, `audio_codec.`). Files re-saved by ComfyUI's core nodes carry `model.diffusion_model.`; that prefix is taken off. NAVA's
public files are read as well, under our names (`nava`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..config import METADATA_KEY, ConfigError, ModelConfig
from . import nava
from .container import CheckpointError, Container, check_numbers, open_container, write_atomically
from .detection import A_UNITALKING, CONFIG_TENSOR, NAVA, OTHER, UNITALKING, UNITALKING_BARE, identify, require
from .geometry import config_of_shapes
from .layouts import HOST_PREFIX
from .quantization import Layers, is_description, present_spelling, quantized_layers

TRANSFORMER, TEXT_ENCODER, VIDEO_CODEC, AUDIO_CODEC = "transformer", "text_encoder", "video_codec", "audio_codec"
BUNDLED = (TEXT_ENCODER, VIDEO_CODEC, AUDIO_CODEC)
CHECKED_AT_LOAD = 1 << 16
"""Tensors up to this many values (norms, biases, modulation) are read and looked through for NaN when a file is loaded: training that
diverged shows there too, and reading all would take as long as the file is large."""


@dataclass(frozen=True)
class Checkpoint:
    """A file's content: `parts` maps part names to state dicts (tensors stay memory-mapped until they are touched).

    `quantization` says which of the transformer's layers are stored in 8 bits (`quantization`); their state has `weight_scale` beside
    `weight`.
    """

    path: Path
    config: ModelConfig
    parts: Mapping[str, dict[str, Tensor]]
    quantization: Layers = field(default_factory=dict)

    def part(self, name: str) -> dict[str, Tensor]:
        """Raises CheckpointError when the part is not bundled in this file."""
        if name not in self.parts:
            raise CheckpointError(f"{self.path.name} holds no {name.replace('_', ' ')}; it has {', '.join(self.parts)}")
        return self.parts[name]


def read_config(path: str | os.PathLike) -> ModelConfig:
    """The configuration alone; touches only the file's header. Raises CheckpointError."""
    return _config(open_container(path))


def load(path: str | os.PathLike) -> Checkpoint:
    """Read a UniTalking checkpoint, memory-mapped. Raises CheckpointError; also where a small tensor (CHECKED_AT_LOAD) holds NaN."""
    file = open_container(path)
    config = _config(file)
    parts: dict[str, dict[str, Tensor]] = {}
    names = nava.our_names(file.tensors)
    for key, tensor in file.mapped().items():
        if key != CONFIG_TENSOR and not is_description(key):
            part, name = split_key(present_spelling(names[key]))
            if tensor.numel() <= CHECKED_AT_LOAD:
                tensor = file.read(key)  # touching the map here and there would have the system read ahead at every place
                check_numbers(file.path, key, tensor)
            parts.setdefault(part, {})[name] = tensor
    if TRANSFORMER not in parts:
        raise CheckpointError(f"{file.path.name} has a UniTalking configuration but no transformer weights; use the whole checkpoint")
    layers = quantized_layers(file.tensors, file.metadata, file.read)
    ours = {key.removesuffix(".weight"): name.removesuffix(".weight") for key, name in names.items()}
    return Checkpoint(file.path, config, parts, {ours.get(layer, layer).removeprefix(HOST_PREFIX): how for layer, how in layers.items()})


def stamp(path: str | os.PathLike) -> tuple[int, int]:
    """Changes when the file does: its time of change and its size."""
    info = Path(path).stat()
    return info.st_mtime_ns, info.st_size


def split_key(key: str) -> tuple[str, str]:
    """A key of the file -> (part, key within the part)."""
    part, _, rest = key.partition(".")
    return (part, rest) if part in BUNDLED else (TRANSFORMER, key.removeprefix(HOST_PREFIX))


def save(path: str | os.PathLike, config: ModelConfig, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write a checkpoint atomically: a file of that name is the old one or the whole new one. Raises CheckpointError without room."""
    tensors = {(f"{part}." if part != TRANSFORMER else "") + key: tensor for part, state in parts.items() for key, tensor in state.items()}
    write_atomically(path, tensors, config.to_metadata())


def config_tensor(config: ModelConfig) -> Tensor:
    """The configuration as a tensor of bytes, to be stored under CONFIG_TENSOR."""
    return torch.tensor(list(config.to_metadata()[METADATA_KEY].encode()), dtype=torch.uint8)


def _config(file: Container) -> ModelConfig:
    """The configuration in the file's metadata, in its tensor, or told by the weights themselves."""
    shapes = {key: info.shape for key, info in file.tensors.items()}
    metadata = file.metadata
    if CONFIG_TENSOR in shapes:
        metadata = {METADATA_KEY: bytes(file.read(CONFIG_TENSOR).tolist()).decode(errors="replace")}
    found = identify(shapes, metadata)
    if METADATA_KEY in metadata:
        try:
            return ModelConfig.from_metadata(metadata)
        except ConfigError as error:
            if found.kind in (UNITALKING, OTHER):
                raise CheckpointError(f"{file.path.name}: its configuration cannot be used: {error}") from error
    if found.kind == NAVA:
        try:
            return nava.config_of(shapes)
        except CheckpointError as error:
            raise CheckpointError(f"{file.path.name}: this is {found.title}, but {error}") from error
    if found.kind == UNITALKING_BARE:
        try:
            return config_of_shapes({key.removeprefix(HOST_PREFIX): shape for key, shape in shapes.items()})
        except CheckpointError as error:
            raise CheckpointError(
                f"{file.path.name}: this is {found.title}, and the weights alone do not tell it ({error}); use the file it was made from"
            ) from error
    require(found, A_UNITALKING, file.path.name)
    raise AssertionError("what is a UniTalking checkpoint has a configuration or tells it")
