"""The safetensors container, read and written one tensor at a time.

A file is the header's length (8 bytes, little-endian), the header (JSON: name -> dtype, shape, offsets; `__metadata__`) and the tensors'
bytes without gaps (github.com/huggingface/safetensors, "Format"). The safetensors package maps whole files and writes from tensors that
are all there; here a tensor is read into memory of its own and a file is written while its tensors are made, so that files larger than
the memory pass through.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

METADATA = "__metadata__"
LONGEST_HEADER = 100_000_000
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
OTHER_CONTAINERS = (
    (b"PK\x03\x04", "a pickle file or a zip archive (.pt, .pth, .ckpt), which can run code when it is read; use the .safetensors release"),
    (b"\x80", "a pickle file (.pt, .pth, .ckpt), which can run code when it is read; use the .safetensors release"),
    (b"GGUF", "a GGUF file, which is read by a GGUF loader only; use the .safetensors release"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch it with `git lfs pull` or from the model's page"),
    (b"<", "a web page, not a model; the download needs a login or another address"),
)


class CheckpointError(ValueError):
    """A file that cannot be used; the message names the file, what is wrong with it and what was expected or what to do."""


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as the header tells it: safetensors' name of its dtype, shape, and where its bytes are in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Container:
    """One file's header. Make it with `open_container`."""

    path: Path
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

    def read(self, name: str) -> Tensor:
        """The tensor, in memory of its own. Raises CheckpointError where torch has no such dtype."""
        info, dtype = self.tensors[name], self._dtype(name)
        if info.start == info.stop:
            return torch.empty(info.shape, dtype=dtype)
        data = bytearray(info.stop - info.start)
        with self.path.open("rb") as file:
            file.seek(info.start)
            if file.readinto(data) != len(data):
                raise CheckpointError(f"{self.path.name} became shorter while it was read; start again when it is complete")
        return torch.frombuffer(data, dtype=dtype).reshape(info.shape)

    def mapped(self) -> dict[str, Tensor]:
        """All tensors, memory-mapped: read from the disk when they are touched. Raises CheckpointError as `read`."""
        storage: Any = torch.UntypedStorage.from_file(str(self.path), False, self.path.stat().st_size)
        return {
            name: torch.empty(0, dtype=self._dtype(name)).set_(storage[info.start : info.stop]).reshape(info.shape)
            for name, info in self.tensors.items()
        }

    def _dtype(self, name: str) -> torch.dtype:
        stored = self.tensors[name].dtype
        if stored not in DTYPES:
            raise CheckpointError(f"{self.path.name}: {name} is stored as {stored}, which is not read here; use a bf16 or fp16 release")
        return DTYPES[stored]


def open_container(path: str | os.PathLike) -> Container:
    """Read a file's header and check it against the file's size. Raises CheckpointError."""
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"no such file: {path}")
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; a .safetensors file is expected")
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            start = file.read(32)
            length = int.from_bytes(start[:8], "little")
            file.seek(8)
            raw = file.read(length) if 2 <= length <= min(LONGEST_HEADER, size - 8) else b""
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}") from error
    if not raw.startswith(b"{"):
        raise CheckpointError(f"{path.name} is {_other_container(start, size, length)}")
    header = _parse(path, raw)
    metadata = header.pop(METADATA, {})
    tensors = {name: _info(path, name, entry, 8 + length) for name, entry in header.items()}
    end = max((info.stop for info in tensors.values()), default=8 + length)
    if end > size:
        raise CheckpointError(f"{path.name} is cut off: {size:,} of {end:,} bytes are there; download or copy it again")
    if end < size:
        raise CheckpointError(f"{path.name} is damaged: {size - end:,} bytes more than its header tells; download it again")
    return Container(path, tensors, {str(k): str(v) for k, v in metadata.items()})


def check_numbers(path: Path, key: str, tensor: Tensor) -> None:
    """Raises CheckpointError where a tensor holds NaN or infinity."""
    if not tensor.is_floating_point():
        return
    values = tensor.float() if tensor.dtype.itemsize == 1 else tensor
    # One that is not finite makes the sum so; the slower question is asked only where finite ones might have done it.
    if not bool(torch.isfinite(values.sum(dtype=torch.float32))) and not bool(torch.isfinite(values).all()):
        raise CheckpointError(f"{path.name}: {key} holds NaN or infinite values; the training diverged or the file is damaged, use another")


def _other_container(start: bytes, size: int, length: int) -> str:
    if size == 0:
        return "empty; download it again"
    for magic, title in OTHER_CONTAINERS:
        if start.lstrip().startswith(magic):
            return title
    if start[8:9] == b"{" and length <= LONGEST_HEADER:
        return f"cut off inside its header ({size:,} bytes are there); download or copy it again"
    return "not a safetensors file; use the .safetensors release"


def _parse(path: Path, raw: bytes) -> dict:
    try:
        header = json.loads(raw)
        if not all(isinstance(entry, dict) for entry in header.values()):
            raise ValueError("an entry is no group")
    except ValueError as error:
        raise CheckpointError(f"{path.name} is damaged: its header cannot be read ({error}); download it again") from error
    return header


def _info(path: Path, name: str, entry: dict, base: int) -> TensorInfo:
    try:
        dtype, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        size = math.prod(shape) * DTYPES[dtype].itemsize if dtype in DTYPES else stop - start
        if not 0 <= start <= stop or stop - start != size:
            raise ValueError(f"{stop - start} bytes for {shape} of {dtype}")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} is damaged: its header's entry of {name} makes no sense ({error}); download it again"
        ) from error
    return TensorInfo(dtype, shape, base + start, base + stop)


def write_atomically(path: str | os.PathLike, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file from tensors that are there; a file of that name is the old one or the whole new one. Raises as `writing`."""
    with writing(path, {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}, metadata) as put:
        for name, tensor in tensors.items():
            put(name, tensor)


Put = Callable[[str, Tensor], None]


@contextmanager
def writing(
    path: str | os.PathLike, tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], metadata: Mapping[str, str]
) -> Iterator[Put]:
    """Write a file tensor by tensor, in any order: yields `put(name, tensor)`, to be called once for each of `tensors`.

    Atomic: until all are there, a file of that name stays what it was, and when something fails nothing is left. Raises CheckpointError
    where the disk has no room for it, ValueError where a tensor is not as announced or was left out.
    """
    path = Path(path)
    header: dict = {METADATA: dict(metadata)}
    offset = 0
    for name in sorted(tensors, key=lambda name: (-tensors[name][0].itemsize, name)):  # so that every tensor is aligned to its own size
        dtype, shape = tensors[name]
        size = math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < offset + len(text):
        raise CheckpointError(f"{path.name} needs {offset / 1e9:.1f} GB and {path.parent} has {free / 1e9:.1f} GB left; make room first")
    left = set(tensors)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)

            def put(name: str, tensor: Tensor) -> None:
                if name not in left or (tensor.dtype, tuple(tensor.shape)) != tensors[name]:
                    raise ValueError(f"{name} of {tensor.dtype}, {tuple(tensor.shape)} was not announced so, or comes twice")
                left.remove(name)
                file.seek(8 + len(text) + header[name]["data_offsets"][0])
                file.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)

            yield put
            if left:
                raise ValueError(f"{len(left)} tensors were announced and not written, the first is {min(left)}")
            file.truncate(8 + len(text) + offset)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
