"""GGUF files (ggml's docs/gguf.md): a checkpoint whose large weights are packed in GGML's blocks.

A file is the magic, a version, the numbers of tensors and entries, the entries (key, type, value), the tensors' names with dimensions
(innermost first), type and offset, and the aligned data. The model's configuration is the entry `unitalking.config`. GGML knows four
dimensions at most; the shape of a tensor with more is the entry `comfy.gguf.orig_shape.NAME`, as ComfyUI-GGUF has it.
"""

from __future__ import annotations

import math
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ..config import METADATA_KEY, ConfigError, ModelConfig
from . import ggml
from .container import CheckpointError
from .unitalking import TRANSFORMER, Checkpoint, split_key

MAGIC, VERSION, ALIGNMENT = b"GGUF", 3, 32
ARCHITECTURE, CONFIG, SHAPE = "general.architecture", "unitalking.config", "comfy.gguf.orig_shape."
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
INTEGER, STRING, ARRAY = 5, 8, 9
PLAIN = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16}
"""GGML's numbers of types that are not packed."""
KIND_OF = {kind.number: name for name, kind in ggml.KINDS.items()}
NUMBER_OF = {dtype: number for number, dtype in PLAIN.items()}
LONGEST = 1 << 26


def load(path: str | os.PathLike) -> Checkpoint:
    """A GGUF checkpoint, memory-mapped. Packed weights stay bytes; `quantization` says {"format": kind, "shape": [...]} of their layers.

    Raises CheckpointError.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            entries, infos = _header(file)
            start = _aligned(file.tell())
    except (struct.error, UnicodeDecodeError, KeyError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"{path.name} is not a readable GGUF file ({error!r}); if it was downloaded, fetch it again") from error
    config = _config(path, entries)
    data = torch.from_file(str(path), size=path.stat().st_size, dtype=torch.uint8)
    parts: dict[str, dict[str, Tensor]] = {}
    packed: dict[str, dict[str, Any]] = {}
    for key, (dimensions, number, offset) in infos.items():
        shape = tuple(entries.get(SHAPE + key, dimensions[::-1]))
        part, name = split_key(key)
        if number in PLAIN:
            size = math.prod(shape) * PLAIN[number].itemsize
            tensor = _slice(path, key, data, start + offset, size).view(PLAIN[number]).reshape(shape)
        elif number in KIND_OF and part == TRANSFORMER and key.endswith(".weight") and len(shape) == 2:
            rows, row = ggml.packed_shape(KIND_OF[number], shape)
            tensor = _slice(path, key, data, start + offset, rows * row).reshape(rows, row)
            packed[name.removesuffix(".weight")] = {"format": KIND_OF[number], "shape": list(shape)}
        else:
            known = ", ".join(("f32", "f16", "bf16", *ggml.KINDS))
            raise CheckpointError(f"{path.name}: {key} is packed as GGML's type {number}, which is not read here; known are {known}")
        parts.setdefault(part, {})[name] = tensor
    if TRANSFORMER not in parts:
        raise CheckpointError(f"{path.name} holds no transformer")
    return Checkpoint(path, config, parts, packed)


def save(path: str | os.PathLike, checkpoint: Checkpoint, kind: str) -> None:
    """Write a checkpoint with the linear layers of its blocks packed as `kind`; what is not packed keeps its type. Atomic.

    Raises CheckpointError for a checkpoint that is quantised already, and for a kind that cannot be written.
    """
    if checkpoint.quantization:
        raise CheckpointError(f"{checkpoint.path.name} is quantised already; take the bf16 or fp32 checkpoint it was made from")
    tensors = {
        ("" if part == TRANSFORMER else f"{part}.") + name: tensor
        for part, state in checkpoint.parts.items()
        for name, tensor in state.items()
    }
    kinds = {key: kind if _packable(key, tensor, kind) else None for key, tensor in tensors.items()}
    entries: dict[str, Any] = {ARCHITECTURE: "unitalking", CONFIG: checkpoint.config.to_metadata()[METADATA_KEY]}
    entries |= {SHAPE + key: list(tensor.shape) for key, tensor in tensors.items() if tensor.ndim > 4}
    with _replacing(Path(path)) as file:
        file.write(MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(entries)))
        for key, value in entries.items():
            file.write(_string(key) + _entry(value))
        offset = 0
        for key, tensor in tensors.items():
            dimensions = tensor.shape if tensor.ndim <= 4 else (tensor.shape[0], tensor[0].numel())
            number = ggml.KINDS[kind].number if kinds[key] else NUMBER_OF[_plain(tensor).dtype]
            file.write(_string(key) + struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *reversed(dimensions)))
            file.write(struct.pack("<IQ", number, offset))
            offset += _aligned(_size(tensor, kinds[key]))
        for key, tensor in tensors.items():
            file.write(bytes(_aligned(file.tell()) - file.tell()))
            content = ggml.pack(tensor, kind) if kinds[key] else _plain(tensor)
            file.write(content.contiguous().flatten().view(torch.uint8).numpy().data)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the name when it is whole; until then, and when something fails, what was there stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _packable(key: str, tensor: Tensor, kind: str) -> bool:
    known = ggml.KINDS.get(kind)
    if known is None or kind not in ggml.PACKABLE:
        raise CheckpointError(f"weights cannot be packed as {kind}, only as {', '.join(ggml.PACKABLE)}")
    part, name = split_key(key)
    return (
        part == TRANSFORMER and "blocks." in name and name.endswith(".weight") and tensor.ndim == 2 and not tensor.shape[1] % known.values
    )


def _plain(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype in NUMBER_OF else tensor.to(torch.bfloat16)


def _size(tensor: Tensor, kind: str | None) -> int:
    return math.prod(ggml.packed_shape(kind, tensor.shape)) if kind else tensor.numel() * _plain(tensor).dtype.itemsize


def _header(file: BinaryIO) -> tuple[dict[str, Any], dict[str, tuple[tuple[int, ...], int, int]]]:
    """Entries, and per tensor its dimensions, type and offset."""
    if file.read(4) != MAGIC:
        raise KeyError("no GGUF magic")
    version, tensors, count = _read(file, "IQQ")
    if version not in (2, 3):
        raise KeyError(f"version {version}")
    entries = {}
    for _ in range(count):
        key = _read_string(file)
        entries[key] = _value(file, _read(file, "I")[0])
    infos = {}
    for _ in range(tensors):
        name, [dimensions] = _read_string(file), _read(file, "I")
        if dimensions > 8:
            raise KeyError(f"{dimensions} dimensions")
        infos[name] = (_read(file, f"{dimensions}Q"), *_read(file, "IQ"))
    return entries, infos


def _config(path: Path, entries: Mapping[str, Any]) -> ModelConfig:
    if entries.get(ARCHITECTURE) != "unitalking":
        raise CheckpointError(f"{path.name}: this is a GGUF file of a {entries.get(ARCHITECTURE)} model; one of UniTalking is expected")
    try:
        return ModelConfig.from_metadata({METADATA_KEY: entries.get(CONFIG, "")})
    except ConfigError as error:
        raise CheckpointError(f"{path.name}: its configuration cannot be used: {error}") from error


def _slice(path: Path, key: str, data: Tensor, start: int, size: int) -> Tensor:
    if start + size > len(data):
        raise CheckpointError(f"{path.name} is cut off: {key} ends at byte {start + size}, the file at {len(data)}; fetch it again")
    return data[start : start + size]


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def _read(file: BinaryIO, form: str) -> tuple:
    return struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))


def _read_string(file: BinaryIO) -> str:
    [length] = _read(file, "Q")
    if length > LONGEST:
        raise KeyError(f"a text of {length} bytes")
    return file.read(length).decode()


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _read_string(file)
    if kind != ARRAY:
        return _read(file, NUMBERS[kind])[0]
    inner, count = _read(file, "IQ")
    if count > LONGEST:
        raise KeyError(f"a list of {count}")
    return [_value(file, inner) for _ in range(count)]


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _entry(value: str | list[int]) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    return struct.pack(f"<IIQ{len(value)}i", ARRAY, INTEGER, len(value), *value)
