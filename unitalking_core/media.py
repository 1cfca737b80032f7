"""The one writer of clips: frames and a waveform in, an mp4 or webm file out, with its workflow and marked as generated.

Encoding is left to the ffmpeg that comes with imageio-ffmpeg, run once per clip. Frames are streamed to its standard input as they are
decoded; sound and tags are known beforehand and go through files in a folder that is removed again.

Notation: n frames of a chunk, H/W height and width of the given frames. Why ffmpeg is told what it is told:

- `rawvideo rgb24`, `f32le`: the bytes as they lie in memory; nothing is converted or copied on this side.
- `scale=out_color_matrix=bt709:out_range=tv`: ffmpeg would convert RGB with the matrix of standard definition (bt601), and players
  guess; `setparams` writes bt709 into the file, so that nobody has to. `full_chroma_int+accurate_rnd` keeps flat colours true.
- `yuv420p`: the only pixel layout that every browser plays. It needs even sizes: an odd edge is repeated once, so no pixel is lost.
- `libx264` + `aac`, `libvpx-vp9` + `libopus`: what browsers play. `-deadline realtime -cpu-used 5 -row-mt 1`: VP9 at its slower
  settings takes many times as long as the clip. `-b:v 0`: without it `-crf` would only bound a default bit rate.
- no `-shortest`, no `-t`: frames and samples are written as given; that their lengths agree is the business of `timeline`.
- `-use_editlist 1`: the mp4 says that an AAC encoder starts with 1024 samples of nothing; without it sound comes late by that much
  (64 ms at 16 kHz). WebM carries the same as Opus pre-skip.
- `-movflags use_metadata_tags+faststart`: tags by their own name in moov/udta/meta, the only place where ComfyUI looks when a file is
  dropped on its canvas, and moov in front of the picture, as it looks at the first 64 MiB (webm: 2 MiB, where tags lie in front anyway).
- tags through a file: a workflow is longer than a command line may be on some systems.
"""

from __future__ import annotations

import math
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from .marking import append_xmp, tag_file

Container = Literal["mp4", "webm"]
Quality = Literal["high", "balanced", "small"]

_CRF: dict[Container, dict[Quality, int]] = {
    "mp4": {"high": 14, "balanced": 19, "small": 26},
    "webm": {"high": 14, "balanced": 24, "small": 36},
}
_CRF_MAX: dict[Container, int] = {"mp4": 51, "webm": 63}
_AUDIO_BITS: dict[Quality, int] = {"high": 128_000, "balanced": 96_000, "small": 48_000}  # per second and channel


class ClipError(RuntimeError):
    """A clip could not be written."""


@dataclass(frozen=True)
class Encoding:
    """How a clip is encoded. `quality` is a name or a constant rate factor (0..51 for mp4, 0..63 for webm; smaller is better)."""

    container: Container = "mp4"
    quality: Quality | int = "balanced"

    def __post_init__(self) -> None:
        if self.container not in get_args(Container):
            raise ClipError(f"unknown container {self.container!r}: choose one of {', '.join(get_args(Container))}")
        if isinstance(self.quality, int):
            if not 0 <= self.quality <= _CRF_MAX[self.container]:
                raise ClipError(f"the rate factor of {self.container} is between 0 and {_CRF_MAX[self.container]}, got {self.quality}")
        elif self.quality not in get_args(Quality):
            raise ClipError(f"unknown quality {self.quality!r}: choose one of {', '.join(get_args(Quality))}, or a rate factor")

    @classmethod
    def for_path(cls, path: str | os.PathLike[str], quality: Quality | int = "balanced") -> Encoding:
        """The encoding whose container the file's ending names. Raises ClipError if none does."""
        return cls(Path(path).suffix[1:].lower(), quality)  # type: ignore[arg-type]

    @property
    def crf(self) -> int:
        return self.quality if isinstance(self.quality, int) else _CRF[self.container][self.quality]

    @property
    def audio_bits(self) -> int:
        """Bits per second of each audio channel."""
        return _AUDIO_BITS["balanced" if isinstance(self.quality, int) else self.quality]


@dataclass(frozen=True)
class ClipInfo:
    """What was written. `width` and `height` are the file's, so even; `sample_rate` and `samples` are None without sound."""

    path: Path
    frames: int
    fps: Fraction
    width: int
    height: int
    sample_rate: int | None = None
    samples: int | None = None

    @property
    def seconds(self) -> float:
        return float(self.frames / self.fps)


def write_clip(
    path: str | os.PathLike[str],
    frames: Iterable[torch.Tensor | np.ndarray],
    waveform: torch.Tensor | None = None,
    *,
    fps: Fraction | float,
    sample_rate: int | None = None,
    encoding: Encoding | None = None,
    metadata: Mapping[str, str] | None = None,
) -> ClipInfo:
    """Write a clip, whole or not at all: `path` appears, or is replaced, when everything has been written.

    path: ends in the container's name; its folder exists.
    frames: chunks (n, H, W, 3) of uint8 RGB, of any n; asked for one at a time, never held together; closed if it is a generator.
    waveform: (channels, samples) float, 1 or 2 channels, in [-1, 1] (what is outside is clipped) at `sample_rate` Hz; None for silence
        without an audio track.
    fps: frames per second, taken as the nearest fraction with a denominator up to 1001.
    encoding: by default what the path's ending names, balanced.
    metadata: tags, e.g. {"workflow": json, "prompt": json}. The marking as generated is added to every clip.

    Raises ClipError for input that cannot be written and when writing fails, then naming ffmpeg's last words. What `frames` raises
    passes through unchanged. In all cases nothing is left behind and ffmpeg has ended.
    """
    with _closing(frames) as chunks:
        target = Path(path).absolute()
        encoding = encoding or Encoding.for_path(target)
        if target.suffix.lower() != f".{encoding.container}":
            raise ClipError(f"{target.name}: a clip encoded as {encoding.container} needs a name ending in .{encoding.container}")
        rate = _exact_rate(fps)
        sound = None if waveform is None else _interleaved(waveform, sample_rate)
        tags = _tags(metadata, encoding.container)
        ffmpeg = _ffmpeg()
        first = next((chunk for chunk in chunks if len(_checked(chunk))), None)
        if first is None:
            raise ClipError(f"{target.name}: there are no frames to write")
        height, width = first.shape[1:3]
        even = (width + width % 2, height + height % 2)

        with _folder_beside(target) as folder:
            clip, tags_at, sound_at = folder / "clip", folder / "tags", folder / "sound"
            with _disk_errors(target):
                tags_at.write_bytes(tags)
                if sound is not None:
                    sound.tofile(sound_at)
            command = [ffmpeg, "-hide_banner", "-loglevel", "error", "-nostats", "-y"]
            size = f"{even[0]}x{even[1]}"
            command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", size, "-framerate", str(rate), "-i", "pipe:0"]
            command += ["-f", "ffmetadata", "-i", str(tags_at)]
            if sound is not None:
                command += ["-f", "f32le", "-ar", str(sample_rate), "-ac", str(sound.shape[1]), "-i", str(sound_at)]
            command += ["-map_metadata", "1", *_codecs(encoding, 0 if sound is None else sound.shape[1]), str(clip)]
            with _running(command, folder / "log", target) as feed:
                count = feed(_padded(first))
                for chunk in chunks:
                    if _checked(chunk).shape[1:3] != (height, width):
                        changed = f"{chunk.shape[2]}x{chunk.shape[1]}"
                        raise ClipError(f"{target.name}: frames change their size from {width}x{height} to {changed} at frame {count}")
                    count += feed(_padded(chunk))
            with _disk_errors(target):
                if encoding.container == "mp4":
                    append_xmp(clip)
                clip.replace(target)
    info = ClipInfo(target, count, rate, *even)
    return info if sound is None else ClipInfo(target, count, rate, *even, sample_rate, len(sound))


def _codecs(encoding: Encoding, channels: int) -> list[str]:
    """Output options, for a file with sound of so many channels (0: none) as the third input."""
    to_yuv = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,format=yuv420p"
    tagged = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    options = ["-map", "0:v", "-vf", f"{to_yuv},{tagged}", "-crf", str(encoding.crf)]
    mp4 = encoding.container == "mp4"
    if channels:
        options += ["-map", "2:a", "-c:a", "aac" if mp4 else "libopus", "-b:a", str(encoding.audio_bits * channels)]
    if mp4:
        options += ["-c:v", "libx264", "-preset", "fast", "-use_editlist", "1", "-movflags", "use_metadata_tags+faststart"]
    else:
        options += ["-c:v", "libvpx-vp9", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "5", "-row-mt", "1"]
    return [*options, "-f", encoding.container]


def _exact_rate(fps: Fraction | float) -> Fraction:
    if not (math.isfinite(fps) and Fraction(1, 1001) <= fps <= 1000):
        raise ClipError(f"frames per second must be between 1/1001 and 1000, got {fps}")
    return Fraction(fps).limit_denominator(1001)


def _interleaved(waveform: torch.Tensor, sample_rate: int | None) -> np.ndarray:
    """(channels, samples) float -> (samples, channels) little-endian float32 in [-1, 1]."""
    if sample_rate is None or not 1000 <= sample_rate <= 384_000:
        raise ClipError(f"a waveform needs a sample rate between 1000 and 384000 Hz, got {sample_rate}")
    if not waveform.is_floating_point() or waveform.ndim != 2 or waveform.shape[0] not in (1, 2) or waveform.shape[1] == 0:
        raise ClipError(
            f"a waveform is float of shape (1 or 2 channels, samples), got {str(waveform.dtype)[6:]} of shape {tuple(waveform.shape)}"
        )
    if not torch.isfinite(waveform).all():
        bad = int((~torch.isfinite(waveform)).any(0).nonzero()[0])
        raise ClipError(f"the waveform is not finite (NaN or infinity), first at sample {bad}")
    return waveform.detach().float().clamp(-1, 1).T.contiguous().cpu().numpy().astype("<f4", copy=False)


def _checked(chunk: torch.Tensor | np.ndarray) -> torch.Tensor | np.ndarray:
    kind = str(chunk.dtype).removeprefix("torch.")
    if kind != "uint8" or chunk.ndim != 4 or chunk.shape[3] != 3 or 0 in chunk.shape[1:3]:
        raise ClipError(f"frames must be uint8 of shape (n, height, width, 3), got {kind} of shape {tuple(chunk.shape)}")
    return chunk


def _padded(chunk: torch.Tensor | np.ndarray) -> np.ndarray:
    """The chunk in one piece in main memory (itself, if it already is), its last row and column repeated to even sizes."""
    array = chunk.cpu().contiguous().numpy() if isinstance(chunk, torch.Tensor) else np.ascontiguousarray(chunk)
    down, right = array.shape[1] % 2, array.shape[2] % 2
    return np.pad(array, ((0, 0), (0, down), (0, right), (0, 0)), mode="edge") if down or right else array


def _tags(metadata: Mapping[str, str] | None, container: Container) -> bytes:
    try:
        return tag_file(metadata or {}, brace_free=container == "webm")
    except ValueError as error:
        raise ClipError(str(error)) from error


def _ffmpeg() -> str:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise ClipError("no ffmpeg was found: `pip install imageio-ffmpeg` brings one, or name yours in IMAGEIO_FFMPEG_EXE") from error


@contextmanager
def _closing(frames: Iterable[torch.Tensor | np.ndarray]) -> Iterator[Iterator[torch.Tensor | np.ndarray]]:
    """An iterator over `frames` that is closed, if it can be, so that a decoder frees what it holds."""
    chunks = iter(frames)
    try:
        yield chunks
    finally:
        if (close := getattr(chunks, "close", None)) is not None:
            close()


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ClipError(f"{target} could not be written: {error}") from error


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """A folder on the target's disk, so that moving the finished clip is one step; removed with what is left in it."""
    with _disk_errors(target):
        folder = tempfile.TemporaryDirectory(prefix=f".{target.stem[:40]}-", dir=target.parent, ignore_cleanup_errors=True)
    with folder:
        yield Path(folder.name)


@contextmanager
def _running(command: list[str], log: Path, target: Path) -> Iterator[Callable[[np.ndarray], int]]:
    """ffmpeg, fed by the function that is yielded (frames in, their number out); it ends by itself if all is well, or is killed."""
    with _disk_errors(target), log.open("wb") as stderr:  # a file, because a pipe would have to be emptied meanwhile
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    assert process.stdin is not None
    feed_pipe = process.stdin

    def failure() -> ClipError:
        with suppress(subprocess.TimeoutExpired):  # a pipe that broke: ffmpeg is about to end
            process.wait(5)
        words = " | ".join(log.read_text("utf-8", "replace").splitlines()[-4:]) or "it said nothing"
        return ClipError(f"{target} could not be written: ffmpeg ended with code {process.returncode}: {words}")

    def feed(frames: np.ndarray) -> int:
        try:
            feed_pipe.write(frames.data)
        except OSError:
            raise failure() from None
        return len(frames)

    try:
        yield feed
        try:
            feed_pipe.close()
        except OSError:
            raise failure() from None
        if process.wait() != 0:
            raise failure()
    finally:
        process.kill()  # does nothing to one that has ended
        process.wait()
        with suppress(OSError):
            feed_pipe.close()
