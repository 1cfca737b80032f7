"""A model's tensors under one roof, whether they are in one file or in shards."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from .container import CheckpointError, Container, TensorInfo, open_container

_SHARD = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.safetensors$")
_INDEX = ".safetensors.index.json"


@dataclass(frozen=True)
class Source:
    """All tensors of a model. Make it with `open_source`; only headers are read until `read`."""

    path: Path
    files: tuple[Container, ...]
    home: Mapping[str, Container]
    """Name of a tensor -> the file that has it."""

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.files[0].metadata

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.path.stat().st_size for file in self.files)

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        return {name: file.tensors[name] for name, file in self.home.items()}

    def read(self, name: str) -> Tensor:
        """One tensor, in memory of its own."""
        return self.home[name].read(name)


def open_source(path: str | os.PathLike) -> Source:
    """Open a .safetensors file, an index of shards, any one shard, or a folder that holds one of these (also in `transformer/`).

    Raises CheckpointError when a file is missing or damaged, or when a folder holds none or several models.
    """
    path = Path(path)
    files = [open_container(file) for file in _files(path)]
    home: dict[str, Container] = {}
    for file in files:
        for name in file.tensors:
            if name in home:
                raise CheckpointError(f"{file.path.name} and {home[name].path.name} both hold {name}; they are not shards of one model")
            home[name] = file
    return Source(path, tuple(files), home)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return _files(_in_folder(path))
    if path.name.endswith(_INDEX):
        return _indexed(path)
    if shard := _SHARD.match(path.name):
        index = path.with_name(shard[1] + _INDEX)
        return _indexed(index) if index.is_file() else _numbered(path, shard[1], shard[3])
    return [path]


def _in_folder(folder: Path) -> Path:
    found = sorted(folder.glob(f"*{_INDEX}")) or sorted(folder.glob("*.safetensors"))
    shards = {match[1] for file in found if (match := _SHARD.match(file.name))}
    if len(found) > 1 and not (len(shards) == 1 and all(_SHARD.match(file.name) for file in found)):
        raise CheckpointError(f"{folder} holds several models ({found[0].name}, {found[1].name} ...); name the one that is meant")
    if found:
        return found[0]
    if (folder / "transformer").is_dir():
        return _in_folder(folder / "transformer")
    raise CheckpointError(f"{folder} holds no .safetensors file")


def _indexed(index: Path) -> list[Path]:
    try:
        named = sorted({Path(name).name for name in json.loads(index.read_text())["weight_map"].values()})
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{index.name} is not an index of shards ({error}); download it again") from error
    return _present([index.with_name(name) for name in named], index.name)


def _numbered(shard: Path, stem: str, count: str) -> list[Path]:
    return _present([shard.with_name(f"{stem}-{n:05}-of-{count}.safetensors") for n in range(1, int(count) + 1)], shard.name)


def _present(files: list[Path], told_by: str) -> list[Path]:
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckpointError(f"{told_by}: of {len(files)} shards {', '.join(missing)} is missing beside it; download what is missing")
    return files
