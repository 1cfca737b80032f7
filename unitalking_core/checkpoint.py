"""Checkpoints: one safetensors file, its configuration in the metadata, nothing that could execute code.

Keys: the transformer's are bare (`blocks.0...`, `audio.blocks.0...`); bundled parts carry their name as prefix (`text_encoder.`,
`video_codec.`, `audio_codec.`). Files re-saved by ComfyUI's core nodes carry `model.diffusion_model.`; that prefix is taken off.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .config import METADATA_KEY, ConfigError, ModelConfig

TRANSFORMER, TEXT_ENCODER, VIDEO_CODEC, AUDIO_CODEC = "transformer", "text_encoder", "video_codec", "audio_codec"
BUNDLED = (TEXT_ENCODER, VIDEO_CODEC, AUDIO_CODEC)
HOST_PREFIX = "model.diffusion_model."
CONFIG_TENSOR = "unitalking_config"
"""Where ComfyUI's saving nodes leave the configuration: its text as bytes, because they drop a file's metadata."""


class CheckpointError(ValueError):
    """A file that cannot be used; the message names the file, what is wrong with it and what was expected."""


@dataclass(frozen=True)
class Checkpoint:
    """A file's content: `parts` maps part names to state dicts (tensors stay memory-mapped until they are touched)."""

    path: Path
    config: ModelConfig
    parts: Mapping[str, dict[str, Tensor]]

    def part(self, name: str) -> dict[str, Tensor]:
        """Raises CheckpointError when the part is not bundled in this file."""
        if name not in self.parts:
            raise CheckpointError(f"{self.path.name} holds no {name.replace('_', ' ')}; it has {', '.join(self.parts)}")
        return self.parts[name]


def read_config(path: str | os.PathLike) -> ModelConfig:
    """The configuration alone; touches only the file's header. Raises CheckpointError."""
    path = Path(path)
    with _open(path) as file:
        return _config(path, file)


def load(path: str | os.PathLike) -> Checkpoint:
    """Read a UniTalking checkpoint, memory-mapped. Raises CheckpointError."""
    path = Path(path)
    with _open(path) as file:
        config = _config(path, file)
        parts: dict[str, dict[str, Tensor]] = {}
        for key in file.keys():  # noqa: SIM118  the file is no mapping
            if key == CONFIG_TENSOR:
                continue
            part, name = split_key(key)
            parts.setdefault(part, {})[name] = file.get_tensor(key)
    if TRANSFORMER not in parts:
        raise CheckpointError(f"{path.name} has a UniTalking configuration but no transformer weights")
    return Checkpoint(path, config, parts)


def stamp(path: str | os.PathLike) -> tuple[int, int]:
    """Changes when the file does: its time of change and its size."""
    info = Path(path).stat()
    return info.st_mtime_ns, info.st_size


def split_key(key: str) -> tuple[str, str]:
    """A key of the file -> (part, key within the part)."""
    part, _, rest = key.partition(".")
    return (part, rest) if part in BUNDLED else (TRANSFORMER, key.removeprefix(HOST_PREFIX))


def save(path: str | os.PathLike, config: ModelConfig, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write a checkpoint atomically: a file of that name is either the old one or the whole new one."""
    tensors = {}
    for part, state in parts.items():
        prefix = "" if part == TRANSFORMER else f"{part}."
        tensors.update({prefix + key: tensor.detach().contiguous().cpu() for key, tensor in state.items()})
    write_atomically(Path(path), tensors, config.to_metadata())


def write_atomically(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A safetensors file that is either the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    try:
        save_file(dict(tensors), temporary, metadata=dict(metadata))
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def check_fit(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], what: str) -> None:
    """Raises CheckpointError unless `state` has exactly the keys and shapes of `wanted` (a state dict, on the meta device or not)."""
    missing, unexpected = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    misshapen = [
        f"{k} is {tuple(state[k].shape)}, expected {tuple(wanted[k].shape)}"
        for k in wanted
        if k in state and state[k].shape != wanted[k].shape
    ]
    problems = [
        f"{len(names)} {label}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
        for label, names in (("missing", missing), ("unexpected", unexpected), ("of the wrong shape", misshapen))
        if names
    ]
    if problems:
        raise CheckpointError(f"the weights do not fit the {what}: {'; '.join(problems)}")


def load_into(module: nn.Module, state: Mapping[str, Tensor], what: str, dtype: torch.dtype | None = None) -> None:
    """Give a module (on the meta device or not) exactly these tensors. Raises CheckpointError as `check_fit`.

    With a `dtype` they are copied, so that the file may be replaced while they are in use; without one they stay memory-mapped.
    """
    check_fit(module.state_dict(), state, what)
    if dtype is not None:
        state = {k: v.to(dtype if v.is_floating_point() else v.dtype, copy=True) for k, v in state.items()}
    module.load_state_dict(state, strict=True, assign=True)


def _open(path: Path) -> safe_open:
    if not path.is_file():
        raise CheckpointError(f"no such checkpoint: {path}")
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} is not a readable safetensors file ({error}); if it was downloaded, fetch it again") from error


def _config(path: Path, file: safe_open) -> ModelConfig:
    keys, metadata = list(file.keys()), file.metadata()
    if CONFIG_TENSOR in keys:
        metadata = {METADATA_KEY: bytes(file.get_tensor(CONFIG_TENSOR).tolist()).decode(errors="replace")}
    try:
        return ModelConfig.from_metadata(metadata)
    except ConfigError as error:
        raise CheckpointError(f"{path.name} is not a UniTalking checkpoint: {error}. It looks like {_describe(keys)}") from error


def config_tensor(config: ModelConfig) -> Tensor:
    """The configuration as a tensor of bytes, to be stored under CONFIG_TENSOR."""
    return torch.tensor(list(config.to_metadata()[METADATA_KEY].encode()), dtype=torch.uint8)


def _describe(keys: list[str]) -> str:
    names = {key.removeprefix(HOST_PREFIX) for key in keys}
    if any(name.startswith("audio.blocks.") for name in names):
        return "UniTalking weights whose metadata was lost"
    if any(name.startswith("audio_model.blocks.") for name in names):
        return "an Ovi model"
    if "head.modulation" in names:
        return "a Wan model"
    if any(name.startswith(("first_stage_model.", "vae.", "encoder.", "decoder.")) for name in names):
        return "a VAE"
    return f"some other model ({len(keys)} tensors, the first is '{min(keys, default='none')}')"
