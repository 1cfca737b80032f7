"""Latents of a large corpus as tar shards: few big files to copy or mount, every sample still within reach at once.

`python -m unitalking_core.training.shards LATENTS OUT` rewrites a latent store so. A sample is a run of members with one key,
`00000012.json` (id, split, text, speaker), `.audio.npy` (C, La), `.voice.npy` (C, Lr), with a picture `.video.npy` (C, T, h, w), and
`.prompt.npy` (Lt, text_dim) where the text encoder does not learn, float16, latents in the model's space: the convention of the
webdataset package, which reads these shards and writes ones that are read here. A tar file is not compressed, so an index of places
(`shard-000000.index.jsonl`, made when it is missing or older than its shard) gives any sample directly: batches stay functions of the
step, and resuming stays exact. The encoded empty prompt lies beside the shards, `empty_prompt.npy`.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import math
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from .latents import Entry, Latents, LatentsError, LatentStore, Place

logger = logging.getLogger(__name__)

NAMES = ("id", "split", "text", "speaker")
ARRAYS = ("audio", "voice", "video", "prompt")
EMPTY_PROMPT = "empty_prompt.npy"


@dataclass(frozen=True)
class ShardEntry(Entry):
    """Places are offsets in values from the start of the shard's file."""

    shard: int = 0


class ShardStore:
    """A folder of shards with the interface of `LatentStore`. Raises LatentsError for a folder without any, or a shard of another kind."""

    def __init__(self, folder: Path) -> None:
        self.shards = sorted(folder.glob("*.tar"))
        if not self.shards:
            raise LatentsError(f"no shards (*.tar) in {folder}")
        self.entries: list[Entry] = [
            ShardEntry(**{**line, **{name: _place(line.get(name)) for name in ARRAYS}}, shard=number)
            for number, shard in enumerate(self.shards)
            for line in _index(shard)
        ]
        self._data: dict[int, np.ndarray] = {}
        self._empty_prompt = folder / EMPTY_PROMPT

    def video(self, entry: Entry) -> Tensor:
        """(C, T, h, w); the entry must have video."""
        assert entry.video is not None
        return self._read(entry, entry.video)

    def audio(self, entry: Entry) -> Tensor:
        """(C, La)."""
        return self._read(entry, entry.audio)

    def voice(self, entry: Entry) -> Tensor:
        """(C, Lr)."""
        return self._read(entry, entry.voice)

    def prompt(self, entry: Entry | None) -> Tensor:
        """(Lt, text_dim), None for the empty prompt; the entry must have an encoded one. Raises LatentsError without the empty one."""
        if entry is not None:
            assert entry.prompt is not None
            return self._read(entry, entry.prompt)
        if not self._empty_prompt.is_file():
            raise LatentsError(f"{self._empty_prompt.parent} lacks {EMPTY_PROMPT}, the encoded empty prompt (Lt, text_dim)")
        return torch.from_numpy(np.load(self._empty_prompt).astype(np.float16))

    def _read(self, entry: Entry, place: Place) -> Tensor:
        assert isinstance(entry, ShardEntry)
        if entry.shard not in self._data:
            self._data[entry.shard] = np.memmap(self.shards[entry.shard], dtype=np.float16, mode="r")
        offset, shape = place
        return torch.from_numpy(self._data[entry.shard][offset : offset + math.prod(shape)].copy()).view(shape)


def open_latents(folder: Path) -> Latents:
    """The latents in a folder, however they are stored. Raises LatentsError when there are none."""
    if any(folder.glob("*.tar")):
        return ShardStore(folder)
    if not (folder / "audio.jsonl").is_file():
        raise LatentsError(f"no latents in {folder}: neither shards (*.tar) nor a store (audio.jsonl)")
    return LatentStore(folder)


def write_shards(store: Latents, folder: Path, samples: int = 1000) -> int:
    """Write a store as shards of so many samples each; returns how many shards. Raises LatentsError when the folder has shards already."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.tar")):
        raise LatentsError(f"{folder} has shards already; name a new folder")
    if any(entry.prompt is not None for entry in store.entries):
        np.save(folder / EMPTY_PROMPT, store.prompt(None).half().numpy())
    starts = range(0, len(store.entries), samples)
    for number, start in enumerate(starts):
        path = folder / f"shard-{number:06d}.tar"
        part = path.with_suffix(".part")
        with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
            for key, entry in enumerate(store.entries[start : start + samples], start):
                _write_sample(tar, f"{key:08d}", store, entry)
        part.replace(path)
        _index(path)
    return len(starts)


def _write_sample(tar: tarfile.TarFile, key: str, store: Latents, entry: Entry) -> None:
    _add(tar, f"{key}.json", json.dumps({name: getattr(entry, name) for name in (*NAMES, "mouth_box")}, ensure_ascii=False).encode())
    for name in ARRAYS:
        if getattr(entry, name) is not None:
            content = io.BytesIO()
            np.save(content, getattr(store, name)(entry).half().numpy())
            _add(tar, f"{key}.{name}.npy", content.getvalue())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))


def _index(shard: Path) -> list[dict[str, Any]]:
    """One line a sample: its names and its arrays' places. Read from beside the shard, or made from the shard and left there."""
    path = shard.with_suffix(".index.jsonl")
    if path.is_file() and path.stat().st_mtime_ns >= shard.stat().st_mtime_ns:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    samples: dict[str, dict[str, Any]] = {}
    with tarfile.open(shard, "r:") as tar:
        for member in tar:
            folder, slash, name = member.name.rpartition("/")
            key, _, kind = name.partition(".")
            file = tar.extractfile(member)
            if file is None:
                continue
            sample = samples.setdefault(folder + slash + key, dict.fromkeys(ARRAYS))
            if kind == "json":
                sample |= _names(json.load(file), f"{shard}: {member.name}")
            elif kind.removesuffix(".npy") in ARRAYS:
                sample[kind.removesuffix(".npy")] = _array_place(file, member.offset_data, f"{shard}: {member.name}")
    for key, sample in samples.items():
        if any(sample.get(name) is None for name in (*NAMES, "audio", "voice")):
            raise LatentsError(f"{shard}: the sample {key} needs a .json with {', '.join(NAMES)}, an .audio.npy and a .voice.npy")
    lines = list(samples.values())
    temporary = path.with_suffix(".part")
    temporary.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    temporary.replace(path)
    return lines


def _names(content: dict[str, Any], where: str) -> dict[str, Any]:
    missing = [name for name in NAMES if name not in content]
    if missing:
        raise LatentsError(f"{where} lacks {', '.join(missing)}")
    return {name: content[name] for name in NAMES} | {"mouth_box": content.get("mouth_box")}


def _array_place(file: Any, start: int, where: str) -> Place:
    """Where the values of an .npy file begin, in values from the shard's start, and their shape."""
    major, _ = npy.read_magic(file)
    shape, fortran, dtype = npy.read_array_header_1_0(file) if major == 1 else npy.read_array_header_2_0(file)
    offset = start + file.tell()
    if dtype != np.float16 or fortran or offset % 2:
        raise LatentsError(f"{where} is not a C-ordered float16 array")
    return offset // 2, shape


def _place(noted: list | None) -> Place | None:
    return None if noted is None else (noted[0], tuple(noted[1]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m unitalking_core.training.shards", description="Rewrite a latent store as tar shards.")
    parser.add_argument("latents", type=Path, help="a folder of latents: a run's latents/, or shards")
    parser.add_argument("out", type=Path, help="a folder for the shards")
    parser.add_argument("--samples", type=int, default=1000, help="samples in a shard (default: %(default)s)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    count = write_shards(open_latents(arguments.latents), arguments.out, arguments.samples)
    logger.info("%d shards in %s", count, arguments.out)


if __name__ == "__main__":
    main()
