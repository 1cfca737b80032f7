"""Latents of a corpus, encoded once and memory-mapped. All are in the model's space, float16, C first.

A store is a folder: raw `video.bin` and `audio.bin`, each with an index (`video.jsonl`, `audio.jsonl`), one line a clip, with offsets. It
only ever grows, so that a clip's number never changes; the voices stand in `audio.bin` too, each once. Sound and picture are encoded
apart: a stage that only speaks needs no video codec. Where the text encoder does not learn, `prompt.bin` has its rows (Lt, text_dim), a
prompt once, the empty one among them.

What encodes is asked for (`load`) when something new is there for it, and let go of afterwards: public models are large.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..codecs import LEARNED, AudioCodec, VideoCodec
from ..conditions.umt5 import UMT5TextEncoder
from ..config import AudioConfig, TextConfig, VideoConfig
from ..latents import to_model_space
from .corpus import Item, as_frames, read_clip_sound, read_guests, read_manifest, read_many_pixels, read_voice_of

Place = tuple[int, tuple[int, ...]]
"""Offset in values, and shape."""
SMALL = 1 << 16
"""Weights of up to so many values tell one trained model from another."""


class LatentsError(ValueError):
    """A store that does not fit the codecs or the text encoder, or lacks what a run needs of it."""


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
    prompt: Place | None = None
    """The encoded text."""


class Latents(Protocol):
    """What batches are drawn from, float16 as it is stored: a `LatentStore`, or a `ShardStore` of `shards`."""

    entries: list[Entry]

    def video(self, entry: Entry) -> Tensor: ...
    def audio(self, entry: Entry) -> Tensor: ...
    def voice(self, entry: Entry) -> Tensor: ...
    def prompt(self, entry: Entry | None) -> Tensor: ...


class LatentStore:
    """Reads a store; what was appended after opening is not seen. Clips without encoded video have `video` None."""

    def __init__(self, folder: Path) -> None:
        pictures = {raw["id"]: raw for raw in _lines(folder / "video.jsonl")}
        self._prompts = {raw["text"]: _place(raw["prompt"]) for raw in _lines(folder / "prompt.jsonl")}
        self.entries = [_entry(raw, pictures.get(raw["id"], {}), self._prompts.get(raw["text"])) for raw in _lines(folder / "audio.jsonl")]
        self._data = {name: _map(folder / f"{name}.bin") for name in ("video", "audio", "prompt")}

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

    def prompt(self, entry: Entry | None) -> Tensor:
        """(Lt, text_dim), None for the empty prompt; the entry must have an encoded one."""
        place = self._prompts[""] if entry is None else entry.prompt
        assert place is not None
        return self._read("prompt", place)

    def _read(self, name: str, place: Place) -> Tensor:
        offset, shape = place
        return torch.from_numpy(self._data[name][offset : offset + math.prod(shape)].copy()).view(shape)


@torch.no_grad()
def encode_sounds(folder: Path, corpus: Path, load: Callable[[], AudioCodec], config: AudioConfig) -> int:
    """Encode the recordings of the corpus that the store lacks; returns how many. Raises LatentsError for a store of another codec."""
    _stamp(folder, "audio", described(config))
    known = _lines(folder / "audio.jsonl")
    voices: dict[str, Place] = {raw["voice_file"]: raw["voice"] for raw in known}
    new = _missing(corpus, known)
    if not new:
        return 0
    codec = _loaded(folder, "audio", load, config.codec in LEARNED)
    with (folder / "audio.bin").open("ab") as file, (folder / "audio.jsonl").open("a", encoding="utf-8") as index:
        for item in new:
            if item.voice_file not in voices:
                voices[item.voice_file] = _encode(file, codec, read_voice_of(corpus, item, config.sample_rate), config, item)
            place = _encode(file, codec, read_clip_sound(corpus, item, config.sample_rate), config, item)
            names = {name: getattr(item, name) for name in ("id", "split", "text", "speaker", "voice_file")}
            _note(index, {**names, "audio": place, "voice": voices[item.voice_file]})
    return len(new)


@torch.no_grad()
def encode_pictures(folder: Path, corpus: Path, load: Callable[[], VideoCodec], config: VideoConfig, workers: int = 0) -> int:
    """Encode the frames of the corpus that the store lacks; returns how many. Raises LatentsError for a store of another codec.

    So many processes read ahead.
    """
    _stamp(folder, "video", described(config))
    # A clip of speech alone may have been given a face since; of a clip's lines in the index the last one counts.
    known = {raw["id"]: raw["video"] for raw in _lines(folder / "video.jsonl")}
    new = [item for item in read_manifest(corpus) if item.id not in known or (known[item.id] is None and item.drawing is not None)]
    if not new:
        return 0
    codec = _loaded(folder, "video", load, config.codec in LEARNED)
    device = next(codec.parameters()).device
    with (folder / "video.bin").open("ab") as file, (folder / "video.jsonl").open("a", encoding="utf-8") as index:
        for item, pixels in zip(new, read_many_pixels(corpus, new, workers), strict=True):
            place = None if pixels is None else _encode(file, codec, as_frames(pixels.to(device))[None], config, item)
            _note(index, {"id": item.id, "video": place, "mouth_box": item.mouth_box})
    return len(new)


@torch.no_grad()
def encode_prompts(folder: Path, corpus: Path, load: Callable[[], UMT5TextEncoder], config: TextConfig) -> int:
    """Encode the texts of the corpus that the store lacks, and the empty one; returns how many. Raises LatentsError as the others.

    Each is encoded alone, so that its rows do not depend on what it is encoded with.
    """
    _stamp(folder, "prompt", [config.encoder, config.tokens])
    known = {raw["text"] for raw in _lines(folder / "prompt.jsonl")}
    new = [text for text in dict.fromkeys(["", *(item.text for item in read_manifest(corpus))]) if text not in known]
    if not new:
        return 0
    encoder = _loaded(folder, "prompt", load, learned=False)
    with (folder / "prompt.bin").open("ab") as file, (folder / "prompt.jsonl").open("a", encoding="utf-8") as index:
        for text in new:
            rows = encoder.encode([text])[:, : len(encoder.tokenize(text))]
            _note(index, {"text": text, "prompt": _append(file, rows, repr(text))})
    return len(new)


@torch.no_grad()
def encode_guests(corpus: Path, codec: Any, config: AudioConfig) -> dict[str, list[Tensor]]:
    """Latents (C, L) of all that the corpus's guests say, by name. Raises CorpusError without any, and LatentsError."""
    device, found = next(codec.parameters()).device, {}
    for name, recordings in read_guests(corpus, config.sample_rate).items():
        found[name] = [_half(to_model_space(codec.encode(waveform.to(device)), config), name).cpu() for waveform in recordings]
    return found


def _missing(corpus: Path, known: list[dict]) -> list[Item]:
    ids = {raw["id"] for raw in known}
    return [item for item in read_manifest(corpus) if item.id not in ids]


def described(config: VideoConfig | AudioConfig) -> list:
    """A learned codec is told by its statistics, a public one by its name too."""
    return [config.mean, config.std] if config.codec in LEARNED else [config.codec, config.mean, config.std]


def _loaded(folder: Path, name: str, load: Callable[[], Any], learned: bool) -> Any:
    """What encodes. Of a public model, remember which file it was by its small weights: others may have the same name."""
    module = load()
    if not learned:
        _stamp(folder, name, [fingerprint(module)], "_weights")
    return module


def fingerprint(module: nn.Module) -> int:
    """A check sum of a model's small weights."""
    total = 0
    for weight in module.state_dict().values():
        if weight.numel() <= SMALL:
            total = zlib.crc32(weight.float().cpu().contiguous().numpy().tobytes(), total)
    return total


def _stamp(folder: Path, name: str, made_by: list, suffix: str = "") -> None:
    """Remember what a store is made with and refuse to mix two."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp, told = folder / f"{name}{suffix}.json", json.dumps(made_by)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") != told:
        maker = "text encoder" if name == "prompt" else "codec"
        raise LatentsError(f"the {name} latents in {folder} were made by another {maker}; remove that folder to encode the corpus again")
    stamp.write_text(told, encoding="utf-8")


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


def _entry(raw: dict, picture: dict, prompt: Place | None) -> Entry:
    video, box = picture.get("video"), picture.get("mouth_box")
    return Entry(
        raw["id"], raw["split"], raw["text"], raw["speaker"], _place(raw["audio"]), _place(raw["voice"]),
        None if video is None else _place(video), None if box is None else tuple(box), prompt,
    )  # fmt: skip


def _place(noted: list) -> Place:
    offset, shape = noted
    return offset, tuple(shape)


def _encode(file: IO[bytes], codec: Any, signal: Tensor, config: VideoConfig | AudioConfig, item: Item) -> Place:
    device = next(codec.parameters()).device
    try:
        return _append(file, to_model_space(codec.encode(signal.to(device)), config), item.file)
    except ValueError as error:
        raise LatentsError(f"{item.file}: {error}") from error


def _append(file: IO[bytes], latent: Tensor, what: str) -> Place:
    values = _half(latent, what).cpu().numpy()
    offset = file.tell() // values.itemsize
    file.write(values.tobytes())
    file.flush()
    return offset, tuple(values.shape)


def _half(latent: Tensor, what: str) -> Tensor:
    half = latent[0].half()
    if not bool(torch.isfinite(half).all()):
        raise LatentsError(f"{what} was encoded to values that are not finite or too large for float16")
    return half


def _map(path: Path) -> np.ndarray:
    return np.memmap(path, dtype=np.float16, mode="r") if path.is_file() and path.stat().st_size else np.zeros(0, np.float16)
