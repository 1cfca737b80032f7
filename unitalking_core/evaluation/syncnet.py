"""SyncNet: how well lips fit the voice, as Sync-C and Sync-D, with the published weights that a user brings.

Source: Chung & Zisserman 2016, "Out of time: automated lip sync in the wild"; parameter names and shapes, the input scale and the score
are those of its authors' public code (github.com/joonson/syncnet_python: SyncNetModel.py 6efbb1c, SyncNetInstance.py dae7abe, offset
range from run_syncnet.py), so that `syncnet_v2.model` fits. The weights are not part of this project; nothing is downloaded.

Two towers look at the same 0.2 s, one at five face crops, one at 20 windows of MFCC, and give 1024 numbers each. W such windows start one
at every frame of the clip. For every offset of -15..15 frames the mean distance of the towers is taken over all W; **Sync-D** is the
smallest of these 31, **Sync-C** their median less the smallest (also called LSE-D and LSE-C).

What the frames must be: 25 per second, a face crop (chin to forehead and some margin) at 224 x 224. A clip is brought to 25 fps by
repeating or dropping frames. A portrait as this pack makes them is a face crop already; of any other picture `crop` names the face. The
public pipeline finds faces with a detector, smooths their boxes and passes crops through JPEG; scores differ a little for that.
"""

from __future__ import annotations

import os
import pickle
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .mfcc import SAMPLE_RATE, mfcc

FPS = 25
SIZE = 224
"""Pixels on each side of a face crop."""
MAX_OFFSET = 15
"""Frames to either side that are searched."""

_FRAMES = 5  # of a window
_CEPSTRA = 20  # of a window: 0.2 s
_PER_FRAME = 4  # MFCC windows in a frame
_BATCH = 16


class SyncNetError(ValueError):
    """Weights or a clip that SyncNet cannot use; the message names the file and the reason."""


class SyncNet(nn.Module):
    """The two towers. Parameter names are those of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        # The 1x1 pooling does nothing; it is there because the layers behind it are numbered after it.
        self.netcnnaud = nn.Sequential(
            *_conv2d(1, 64, 3, padding=1),
            nn.MaxPool2d(1, 1),
            *_conv2d(64, 192, 3, padding=1),
            nn.MaxPool2d(3, (1, 2)),
            *_conv2d(192, 384, 3, padding=1),
            *_conv2d(384, 256, 3, padding=1),
            *_conv2d(256, 256, 3, padding=1),
            nn.MaxPool2d(3, 2),
            *_conv2d(256, 512, (5, 4)),
        )
        self.netcnnlip = nn.Sequential(
            *_conv3d(3, 96, (5, 7, 7), stride=2),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv3d(96, 256, (1, 5, 5), stride=2, padding=1),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_conv3d(256, 256, (1, 3, 3), padding=1),
            *_conv3d(256, 256, (1, 3, 3), padding=1),
            *_conv3d(256, 256, (1, 3, 3), padding=1),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv3d(256, 512, (1, 6, 6)),
        )
        self.netfcaud = _head()
        self.netfclip = _head()

    def hear(self, cepstra: Tensor) -> Tensor:
        """(W, 1, 13, 20) -> (W, 1024)."""
        return self.netfcaud(self.netcnnaud(cepstra).flatten(1))

    def see(self, faces: Tensor) -> Tensor:
        """(W, 3, 5, 224, 224), channels blue, green, red in 0..255 -> (W, 1024)."""
        return self.netfclip(self.netcnnlip(faces).flatten(1))


def _conv2d(inputs: int, outputs: int, kernel: int | tuple[int, int], padding: int = 0) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()


def _conv3d(inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1, padding: int = 0) -> tuple[nn.Module, ...]:
    """`stride` and `padding` in space; in time 1 and 0."""
    convolution = nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), (0, padding, padding))
    return convolution, nn.BatchNorm3d(outputs), nn.ReLU()


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))


@dataclass(frozen=True)
class SyncScore:
    """What SyncNet says of a clip.

    confidence: Sync-C; higher is better. distance: Sync-D; lower is better.
    offset: frames at 25 fps by which the picture is late against the sound (negative: early).
    windows: W, the places compared. With fewer than about 30 the edges, where there is no sound to compare with, weigh much.
    """

    confidence: float
    distance: float
    offset: int
    windows: int


def load_syncnet(path: str | os.PathLike[str], device: str = "cpu") -> SyncNet:
    """The network with the weights of `syncnet_v2.model` (read as tensors, never executed) or a .safetensors file with the same keys.

    Raises SyncNetError if the file is missing, is of another kind or does not hold SyncNet's parameters.
    """
    file = Path(path)
    if not file.is_file():
        raise SyncNetError(f"no SyncNet weights at {file}: get syncnet_v2.model from its authors (github.com/joonson/syncnet_python)")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise SyncNetError(f"{file} cannot be read as weights: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict):
        raise SyncNetError(f"{file} holds a {type(state).__name__}, not a dictionary of weights")
    with torch.device("meta"):
        model = SyncNet()
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    given = {key: tuple(value.shape) for key, value in state.items() if not key.endswith("num_batches_tracked")}
    if wanted != given:
        differ = sorted(key for key in wanted.keys() | given.keys() if wanted.get(key) != given.get(key))
        first = differ[0]
        raise SyncNetError(
            f"{file} does not hold SyncNet's weights: {len(differ)} of {len(wanted)} entries differ, first {first}: "
            f"shape {wanted.get(first, 'not part of SyncNet')} expected, {given.get(first, 'nothing')} found"
        )
    model = SyncNet()
    model.load_state_dict(state, strict=False)  # old files lack BatchNorm's counters, which only training uses
    return model.eval().requires_grad_(False).to(device)


def score_clip(model: SyncNet, path: str | os.PathLike[str], crop: tuple[int, int, int, int] | None = None) -> SyncScore:
    """The score of a clip on disk. `crop`: left, top, width, height of the face in pixels; by default the whole picture.

    Raises SyncNetError if picture or sound cannot be read or the clip is too short.
    """
    file = Path(path)
    if not file.is_file():
        raise SyncNetError(f"no such clip: {file}")
    cut = "" if crop is None else f"crop={crop[2]}:{crop[3]}:{crop[0]}:{crop[1]},"
    picture = ["-vf", f"fps={FPS},{cut}scale={SIZE}:{SIZE}", "-an", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    sound = ["-vn", "-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "f32le"]
    pixels = np.frombuffer(_decode(file, picture, "picture"), np.uint8)
    samples = np.frombuffer(_decode(file, sound, "sound"), "<f4")
    try:
        return score(model, torch.from_numpy(pixels.reshape(-1, SIZE, SIZE, 3).copy()), torch.from_numpy(samples.copy()))
    except SyncNetError as error:
        raise SyncNetError(f"{file}: {error}") from error


def _decode(file: Path, options: list[str], what: str) -> bytes:
    from imageio_ffmpeg import get_ffmpeg_exe

    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(file), *options, "-"]
    result = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if result.returncode or not result.stdout:
        words = result.stderr.decode(errors="replace").strip().splitlines()
        raise SyncNetError(f"the {what} of {file} cannot be read" + (f": {words[-1]}" if words else ""))
    return result.stdout


def score(model: SyncNet, frames: Tensor, waveform: Tensor) -> SyncScore:
    """frames (F, 224, 224, 3) uint8 RGB at 25 fps, waveform (N,) float in [-1, 1] at 16 kHz -> their score. Raises as `embed` does."""
    return compare(*embed(model, frames, waveform))


def embed(model: SyncNet, frames: Tensor, waveform: Tensor) -> tuple[Tensor, Tensor]:
    """Frames and waveform as for `score` -> what each tower makes of every window, both (W, 1024), on the CPU.

    Raises SyncNetError for frames of another shape, or fewer than 6 frames (0.24 s) of picture or sound.
    """
    if frames.ndim != 4 or tuple(frames.shape[1:]) != (SIZE, SIZE, 3) or frames.dtype != torch.uint8:
        raise SyncNetError(f"frames must be uint8 of shape (F, {SIZE}, {SIZE}, 3), got {frames.dtype} of shape {tuple(frames.shape)}")
    windows = min(len(frames), len(waveform) * FPS // SAMPLE_RATE) - _FRAMES  # as the public code counts
    if windows < 1:
        seconds = f"{len(frames)} frames and {len(waveform) / SAMPLE_RATE:.2f} s of sound"
        raise SyncNetError(f"a clip needs more than {_FRAMES / FPS} s of picture and sound, got {seconds}")
    device = next(model.parameters()).device
    bgr = frames.flip(-1).movedim(-1, 0)  # (3, F, H, W)
    cepstra = mfcc(waveform)
    seen, heard = [], []
    with torch.inference_mode():
        for first in range(0, windows, _BATCH):
            at = range(first, min(first + _BATCH, windows))
            faces = torch.stack([bgr[:, i : i + _FRAMES] for i in at]).float()
            sounds = torch.stack([cepstra[None, :, i * _PER_FRAME : i * _PER_FRAME + _CEPSTRA] for i in at])
            seen.append(model.see(faces.to(device)).cpu())
            heard.append(model.hear(sounds.to(device)).cpu())
    return torch.cat(seen), torch.cat(heard)


def compare(seen: Tensor, heard: Tensor) -> SyncScore:
    """Embeddings of picture and sound, each (W, D) -> their score. Where an offset points past an end, the sound counts as zeros."""
    reach = 2 * MAX_OFFSET + 1
    padded = nn.functional.pad(heard, (0, 0, MAX_OFFSET, MAX_OFFSET))
    curve = torch.stack([nn.functional.pairwise_distance(seen, padded[shift : shift + len(seen)]).mean() for shift in range(reach)])
    best = int(curve.argmin())
    return SyncScore(float(curve.median() - curve[best]), float(curve[best]), MAX_OFFSET - best, len(seen))
