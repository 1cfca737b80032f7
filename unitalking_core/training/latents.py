"""Latents of a corpus, encoded once and memory-mapped. All are in the model's space, float16, C first.

A store is a folder: raw `video.bin` and `audio.bin`, each with an index (`video.jsonl`, `audio.jsonl`), one line a clip, with offsets. It
only ever grows, so that a clip's number never changes; the voices stand in `audio.bin` too, each once. Sound and picture are encoded
apart: a stage that only speaks needs no video codec.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import torch
from torch import Tensor

from ..codecs import AudioCodec, VideoCodec
from ..config import AudioConfig, VideoConfig
from ..latents import to_model_space
from .corpus import Item, read_clip_frames, read_clip_sound, read_manifest, read_voice

Place = tuple[int, tuple[int, ...]]
"""Offset in values, and shape."""


class LatentsError(ValueError):
    """A store that does not fit the codecs."""


@dataclass(frozen=True)
class Entry:
    id: str
    split: str
    text: str
    speaker: str
    audio: Place
    voice: Place
    video: Place | None
    mouth_box: tuple[float, float, float, float] | None = None


class Latents(Protocol):
    """What batches are drawn from: a `LatentStore`, or a `ShardStore` of `shards`."""

    entries: list[Entry]

    def video(self, entry: Entry) -> Tensor: ...
    def audio(self, entry: Entry) -> Tensor: ...
    def voice(self, entry: Entry) -> Tensor: ...


class LatentStore:
    """Reads a store; what was appended after opening is not seen. Clips without encoded video have `video` None."""

    def __init__(self, folder: Path) -> None:
        pictures = {raw["id"]: raw for raw in _lines(folder / "video.jsonl")}
        self.entries = [_entry(raw, pictures.get(raw["id"], {})) for raw in _lines(folder / "audio.jsonl")]
        self._data = {name: _map(folder / f"{name}.bin") for name in ("video", "audio")}

    def video(self, entry: Entry) -> Tensor:
        """(C, T, h, w); the entry must have video."""
        assert entry.video is not None
        return self._read("video", entry.video)

    def audio(self, entry: Entry) -> Tensor:
        """(C, La)."""
        return self._read("audio", entry.audio)

    def voice(self, entry: Entry) -> Tensor:
        """(C, Lr)."""
        return self._read("audio", entry.voice)

    def _read(self, name: str, place: Place) -> Tensor:
        offset, shape = place
        return torch.from_numpy(self._data[name][offset : offset + math.prod(shape)].astype(np.float32)).view(shape)


@torch.no_grad()
def encode_sounds(folder: Path, corpus: Path, codec: AudioCodec, config: AudioConfig) -> int:
    """Encode the recordings of the corpus that the store lacks; returns how many. Raises LatentsError for a store of another codec."""
    _stamp(folder, "audio", config)
    known = _lines(folder / "audio.jsonl")
    voices: dict[str, Place] = {raw["voice_file"]: raw["voice"] for raw in known}
    new = _missing(corpus, known)
    with (folder / "audio.bin").open("ab") as file, (folder / "audio.jsonl").open("a", encoding="utf-8") as index:
        for item in new:
            if item.voice_file not in voices:
                voices[item.voice_file] = _append(file, to_model_space(codec.encode(read_voice(corpus, item.voice_file)), config))
            place = _append(file, to_model_space(codec.encode(read_clip_sound(corpus, item)), config))
            names = {name: getattr(item, name) for name in ("id", "split", "text", "speaker", "voice_file")}
            _note(index, {**names, "audio": place, "voice": voices[item.voice_file]})
    return len(new)


@torch.no_grad()
def encode_pictures(folder: Path, corpus: Path, codec: VideoCodec, config: VideoConfig) -> int:
    """Encode the frames of the corpus that the store lacks; returns how many. Raises LatentsError for a store of another codec."""
    _stamp(folder, "video", config)
    new = _missing(corpus, _lines(folder / "video.jsonl"))
    with (folder / "video.bin").open("ab") as file, (folder / "video.jsonl").open("a", encoding="utf-8") as index:
        for item in new:
            frames = read_clip_frames(corpus, item)
            place = None if frames is None else _append(file, to_model_space(codec.encode(frames), config))
            _note(index, {"id": item.id, "video": place, "mouth_box": item.mouth_box})
    return len(new)


def _missing(corpus: Path, known: list[dict]) -> list[Item]:
    ids = {raw["id"] for raw in known}
    return [item for item in read_manifest(corpus) if item.id not in ids]


def _stamp(folder: Path, name: str, config: VideoConfig | AudioConfig) -> None:
    """Remember which codec a store is made with, by its statistics, and refuse to mix two."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp, made_by = folder / f"{name}.json", json.dumps([config.mean, config.std])
    if stamp.is_file() and stamp.read_text(encoding="utf-8") != made_by:
        raise LatentsError(f"the {name} latents in {folder} were made by another codec; remove that folder to encode the corpus again")
    stamp.write_text(made_by, encoding="utf-8")


def _lines(path: Path) -> list[dict]:
    """The whole lines of an index; one that a killed run left unfinished is cut off."""
    if not path.is_file():
        return []
    whole, _, rest = path.read_bytes().rpartition(b"\n")
    if rest:
        with path.open("r+b") as file:
            file.truncate(len(whole) + bool(whole))
    return [json.loads(line) for line in whole.splitlines()]


def _note(index: IO[str], line: dict) -> None:
    index.write(json.dumps(line) + "\n")
    index.flush()


def _entry(raw: dict, picture: dict) -> Entry:
    video, box = picture.get("video"), picture.get("mouth_box")
    return Entry(
        raw["id"], raw["split"], raw["text"], raw["speaker"], _place(raw["audio"]), _place(raw["voice"]),
        None if video is None else _place(video), None if box is None else tuple(box),
    )  # fmt: skip


def _place(noted: list) -> Place:
    offset, shape = noted
    return offset, tuple(shape)


def _append(file: IO[bytes], latent: Tensor) -> Place:
    values = latent[0].half().numpy()
    offset = file.tell() // values.itemsize
    file.write(values.tobytes())
    file.flush()
    return offset, tuple(values.shape)


def _map(path: Path) -> np.ndarray:
    return np.memmap(path, dtype=np.float16, mode="r") if path.is_file() and path.stat().st_size else np.zeros(0, np.float16)
