"""A clip on disk, as it is measured: frames (F, H, W, 3) uint8 and a waveform (N,) int16 at 16 kHz in one safetensors file.

That is the format of the corpus, so that true clips and made ones are read alike. Either part may be absent.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from ..conditions.text import END, START
from ..data.speech import SAMPLE_RATE

__all__ = ["SAMPLE_RATE", "Recording", "sha256_of", "spoken_words", "write_recording"]


@dataclass(frozen=True)
class Recording:
    """`words`: what is said in it, or should be; lower case, without punctuation."""

    path: Path
    words: str = ""

    def frames(self) -> NDArray[np.uint8]:
        """(F, H, W, 3). Raises KeyError where there is no picture."""
        return self._tensor("frames")

    def samples(self) -> NDArray[np.int16]:
        """(N,) at SAMPLE_RATE."""
        return self._tensor("waveform")

    def waveform(self) -> NDArray[np.float32]:
        """(N,) in [-1, 1] at SAMPLE_RATE."""
        return self.samples().astype(np.float32) / np.float32(32768)

    def digest(self, name: str) -> str:
        """SHA-256 of one of its tensors, "frames" or "waveform"."""
        return hashlib.sha256(self._tensor(name).tobytes()).hexdigest()

    def _tensor(self, name: str) -> np.ndarray:
        with safe_open(self.path, framework="np") as file:
            if name not in file.keys():  # noqa: SIM118  the file is no mapping
                raise KeyError(f"{self.path} has no {name}")
            return file.get_tensor(name)


def write_recording(path: Path, frames: NDArray[np.uint8] | None, samples: NDArray[np.int16]) -> None:
    """Write a recording whole or not at all; its folder exists."""
    tensors: dict[str, np.ndarray] = {"waveform": np.ascontiguousarray(samples)}
    if frames is not None:
        tensors["frames"] = np.ascontiguousarray(frames)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(save(tensors))
    part.replace(path)


def spoken_words(text: str) -> str:
    """The words that a prompt asks for: what stands between its marks, lower case, without punctuation."""
    match = re.search(f"{re.escape(START)}(.*?){re.escape(END)}", text)
    return " ".join(re.sub(r"[^a-z0-9' ]", " ", (match.group(1) if match else text).lower()).split())


def sha256_of(path: Path) -> str:
    """Of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
