"""Pictures and recordings from files, by the ffmpeg that writes clips too: any format, no further packages."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import torch
from imageio_ffmpeg import get_ffmpeg_exe, read_frames
from torch import Tensor

SAMPLE_RATE = 48000
"""Hz. Recordings are read at one rate; preparing a voice resamples to the model's."""


class ReadingError(ValueError):
    """A file that cannot be read; the message names it."""


def read_image(path: str | os.PathLike[str]) -> Tensor:
    """The first picture in a file -> (H, W, 3) float32 in [0, 1]; transparency is dropped. Raises ReadingError."""
    frames = read_frames(str(_existing(path)), pix_fmt="rgb24")
    try:
        width, height = next(frames)["size"]
        pixels = next(frames)
    except (OSError, RuntimeError, StopIteration, KeyError) as error:
        raise ReadingError(f"{path} is not a picture that can be read") from error
    finally:
        frames.close()
    return torch.from_numpy(np.frombuffer(pixels, np.uint8).copy()).reshape(height, width, 3).float() / 255


def read_audio(path: str | os.PathLike[str]) -> tuple[Tensor, int]:
    """The sound in a file -> waveform (1, N) float32, downmixed, and its rate in Hz. Raises ReadingError."""
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(_existing(path)), "-vn", "-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "f32le", "-"]
    result = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if result.returncode or not result.stdout:
        reason = result.stderr.decode(errors="replace").strip().splitlines()
        raise ReadingError(f"{path} holds no sound that can be read" + (f" ({reason[-1]})" if reason else ""))
    return torch.from_numpy(np.frombuffer(result.stdout, "<f4").copy())[None], SAMPLE_RATE


def _existing(path: str | os.PathLike[str]) -> Path:
    if not Path(path).is_file():
        raise ReadingError(f"no such file: {path}")
    return Path(path)
