"""A corpus on disk: `manifest.jsonl`, one line a clip, and safetensors files of frames (F, H, W, 3) uint8 and waveforms (N,) int16.

A clip whose line tells of a drawn face (`data.later_faces`) has its frames drawn when they are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..conditions.recording import resample
from ..data.waveforms import SAMPLE_RATE
from ..timeline import Timeline

REQUIRED = ("id", "split", "file", "text", "speaker", "voice_file")


class CorpusError(ValueError):
    """A corpus that cannot be read; the message names file and line."""


@dataclass(frozen=True)
class Item:
    """One clip; its reference voice is another utterance of the same speaker.

    `mouth_box`: left, top, right, bottom of the mouth in a picture whose sides are 1 long, where it is known. `sample_rate`: of the clip
    and of its voice, in Hz; where it is not told, it is the model's. `drawing`: the manifest's line, where frames are drawn from it.
    """

    id: str
    split: str
    file: str
    text: str
    speaker: str
    voice_file: str
    mouth_box: tuple[float, float, float, float] | None = None
    sample_rate: int | None = None
    drawing: Mapping[str, Any] | None = None


def in_training(split: str) -> bool:
    """Whether clips of this split may be learned from: its name begins with "train". Others are held out."""
    return split.startswith("train")


def read_manifest(folder: Path) -> list[Item]:
    """All clips in the order they were made; a last line that is still being written is left out. Raises CorpusError."""
    path = folder / "manifest.jsonl"
    if not path.is_file():
        raise CorpusError(f"no corpus at {folder}: {path.name} is missing; make it with the data tools first")
    items = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], start=1):
        try:
            raw = json.loads(line)
            box = raw.get("mouth_box")
            named = {name: raw[name] for name in REQUIRED}
            drawing = raw if "drawn" in raw else None
            items.append(Item(**named, mouth_box=None if box is None else tuple(box), sample_rate=raw.get("sample_rate"), drawing=drawing))
        except (json.JSONDecodeError, KeyError) as error:
            raise CorpusError(f"{path}, line {number}: {error!r}") from error
    return items


def read_clip_pixels(folder: Path, item: Item) -> Tensor | None:
    """Frames (F, H, W, 3) uint8, None for a clip of sound alone."""
    if item.drawing is not None:
        from ..data.later_faces import draw_clip

        return torch.from_numpy(draw_clip(item.drawing))
    with safe_open(folder / item.file, framework="pt") as file:
        return file.get_tensor("frames") if "frames" in file.keys() else None  # noqa: SIM118


class _Pictures(Dataset):
    def __init__(self, folder: Path, items: Sequence[Item]) -> None:
        self.folder, self.items = folder, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Tensor | None:
        return read_clip_pixels(self.folder, self.items[number])


def read_many_pixels(folder: Path, items: Sequence[Item], workers: int = 0) -> Iterator[Tensor | None]:
    """`read_clip_pixels` of one clip after the other; so many processes read, or draw, ahead."""
    yield from DataLoader(_Pictures(folder, items), batch_size=None, num_workers=workers)


def read_clip_frames(folder: Path, item: Item) -> Tensor | None:
    """Frames (1, 3, F, H, W) in [-1, 1], None for a clip of sound alone."""
    pixels = read_clip_pixels(folder, item)
    return None if pixels is None else as_frames(pixels)[None]


def read_clip_sound(folder: Path, item: Item, rate: int | None = None) -> Tensor:
    """Waveform (1, 1, N) in [-1, 1], resampled to `rate` in Hz where the manifest tells another."""
    return _resampled(_sound(folder / item.file), item.sample_rate, rate)


def read_voice(folder: Path, voice_file: str) -> Tensor:
    """Waveform (1, 1, N) in [-1, 1]."""
    return _sound(folder / voice_file)


def read_voice_of(folder: Path, item: Item, rate: int) -> Tensor:
    """The clip's reference voice, as `read_clip_sound` reads the clip."""
    return _resampled(read_voice(folder, item.voice_file), item.sample_rate, rate)


def read_guests(folder: Path, rate: int) -> dict[str, list[Tensor]]:
    """The recordings (1, 1, N) of everybody of `data.guests` who has two, at `rate` Hz. Raises CorpusError without any."""
    check_guests(folder)
    found: dict[str, list[Tensor]] = {}
    for path in sorted((folder / "guests").glob("*.safetensors")):
        found.setdefault(path.stem.rpartition("_")[0], []).append(_resampled(_sound(path), SAMPLE_RATE, rate))
    return {name: recordings for name, recordings in found.items() if len(recordings) > 1}


def check_guests(folder: Path) -> None:
    """Raises CorpusError where there is nobody with two recordings."""
    if not any((folder / "guests").glob("*_1.safetensors")):
        raise CorpusError(f"{folder} has no guests, whose voices 'like' needs: unitalking prepare guests {folder}")


def check_rate(folder: Path, items: Iterable[Item], timeline: Timeline) -> None:
    """Raises CorpusError where the first clip with a picture has sound of another length than its frames: sound of another rate."""
    for item in items:
        if item.drawing is not None:
            continue
        with safe_open(folder / item.file, framework="pt") as file:
            if "frames" not in file.keys():  # noqa: SIM118
                continue
            frames = file.get_slice("frames").get_shape()[0]
        clip, samples = timeline.clip_of_frames(frames), read_clip_sound(folder, item, timeline.sample_rate).shape[-1]
        if clip.frames != frames:
            raise CorpusError(f"{folder / item.file}: {frames} frames are off the grid, a clip has {timeline.temporal_stride} n + 1 frames")
        if abs(samples - clip.samples) > max(timeline.sample_rate / float(timeline.exact_fps), timeline.samples_per_token):
            raise CorpusError(
                f"{folder / item.file}: {clip.describe()}, has {clip.samples} samples at {timeline.sample_rate} Hz, this one {samples}; "
                'where the sound has another rate, say so in the manifest ("sample_rate"), and it is resampled'
            )
        return


def as_frames(frames: Tensor) -> Tensor:
    """(F, H, W, 3) uint8 -> (3, F, H, W) in [-1, 1]."""
    return frames.permute(3, 0, 1, 2).float() / 127.5 - 1


def as_waveform(samples: Tensor) -> Tensor:
    """(N,) int16 -> (1, 1, N) in [-1, 1]."""
    return samples[None, None].float() / 32768


def _resampled(waveform: Tensor, rate: int | None, wanted: int | None) -> Tensor:
    return waveform if rate is None or wanted is None else resample(waveform, rate, wanted)


def _sound(path: Path) -> Tensor:
    with safe_open(path, framework="pt") as file:
        return as_waveform(file.get_tensor("waveform"))
