"""What a saved clip's player shows beside the picture: the sound's waveform, the mouth's opening, and how far they are apart."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from ..unitalking_core.mouth import measure, shrink

POINTS = 400
"""Of the waveform, whatever the clip's length."""


class Watch:
    """Looks at a clip while it is written: the frames as they pass, then the sound."""

    def __init__(self) -> None:
        self._grey: list[Tensor] = []

    def frames(self, chunks: Iterator[Tensor]) -> Iterator[Tensor]:
        """The same chunks, uint8 (n, H, W, 3); each is measured on its way."""
        for chunk in chunks:
            if len(chunk):
                self._grey.append(shrink(chunk))
            yield chunk

    def shown(self, waveform: Tensor | None, fps: Fraction) -> dict[str, Any]:
        """The node's `ui` for the player; waveform (channels, N) or None.

        JSON: fps, frames, peaks (0..1, at most POINTS) or None, mouth (0..1, one a frame), correlation, offset (seconds the sound is
        late) or None.
        """
        grey = torch.cat(self._grey)
        lips = measure(grey, waveform, float(fps))
        clip = {
            "fps": float(fps),
            "frames": len(grey),
            "peaks": None if waveform is None else peaks(waveform),
            "mouth": [round(value, 3) for value in lips.opening.tolist()],
            "correlation": None if lips.correlation is None else round(lips.correlation, 3),
            "offset": lips.offset_seconds,
        }
        return {"unitalking": (clip,)}


def peaks(waveform: Tensor) -> list[float]:
    """(channels, N) -> the largest swing in each of at most POINTS parts, 1 for the loudest of them."""
    swing = waveform.abs().amax(0)
    if not len(swing):
        return []
    found = torch.stack([part.amax() for part in swing.tensor_split(min(POINTS, len(swing)))])
    return [round(value, 3) for value in (found / found.amax().clamp(min=1e-4)).tolist()]
