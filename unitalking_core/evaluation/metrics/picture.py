"""How true the picture is, pixel by pixel: PSNR and SSIM (Wang et al. 2004) against the true clip, overall and around the mouth.

The ceiling is the codec's fidelity. A model's clip is another take, in which head and eyes rightly move differently: its column says how
far, beside the floor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...tasks import Task
from ..recordings import Recording
from ..tools import Tool, ToolMissing, packages_missing
from . import Column, Columns, Figure, Read, Test, makes_picture, other

MARGIN = 0.25
"""Of the lips' box, added on every side of it."""
FRAMES = slice(2, None, 4)
"""Which frames are compared: every fourth, for speed, without the first, which is given."""
Fidelity = tuple[float, float, float | None, float | None]


@dataclass(frozen=True)
class PictureFidelity:
    landmarks: Tool

    figures = (
        Figure("psnr", "dB", "higher", "against the true clip; the model's is another take, see the floor: another clip"),
        Figure("ssim", "0-1", "higher", "against the true clip, likewise"),
        Figure("psnr_mouth", "dB", "higher", "around the lips as found in the true clip"),
        Figure("ssim_mouth", "0-1", "higher", "around the lips as found in the true clip"),
    )

    @property
    def needs(self) -> tuple[Tool, ...]:
        return (self.landmarks,)

    def applies(self, task: Task) -> bool:
        return makes_picture(task)

    def measure(self, test: Test, read: Read) -> dict[str, Columns]:
        reason = packages_missing("scikit-image")
        if reason is not None:
            raise ToolMissing(reason)
        boxes = [None if r is None else r["mouth"] for r in read(self.landmarks, [case.truth for case in test.cases])]
        partners = [other(i, len(test.cases)) for i in range(len(test.cases))]
        made: list[list[Recording | None]] = [
            [case.ceiling for case in test.cases],
            [case.model for case in test.cases],
            [None if p is None else test.cases[p].model for p in partners],
        ]
        rows = [[_fidelity(c.truth, m, b) for c, m, b in zip(test.cases, column, boxes, strict=True)] for column in made]
        return {
            figure.name: Columns(*(Column([None if f is None else f[k] for f in column]) for column in rows))
            for k, figure in enumerate(self.figures)
        }


def _fidelity(truth: Recording, made: Recording | None, boxes: list | None) -> Fidelity | None:
    if made is None:
        return None
    a, b = truth.frames(), made.frames()
    if a.shape != b.shape:
        return None
    return fidelity(a[FRAMES], b[FRAMES], None if boxes is None else boxes[FRAMES])


def fidelity(truth: NDArray[np.uint8], made: NDArray[np.uint8], boxes: list | None) -> Fidelity:
    """PSNR in dB and SSIM, overall and within the boxes. Frames (F, H, W, 3); boxes per frame as in the readings of landmarks, or None."""
    from skimage.metrics import structural_similarity

    height, width = truth.shape[1:3]
    errors = ((truth.astype(np.float64) - made) ** 2).mean(-1)
    ssim = np.stack([structural_similarity(a, b, channel_axis=-1, full=True)[1].mean(-1) for a, b in zip(truth, made, strict=True)])
    mouth = np.zeros(errors.shape, dtype=bool)
    for frame, box in enumerate(boxes or ()):
        if box is not None:
            left, top, right, bottom = (x * size for x, size in zip(box, (width, height) * 2, strict=True))
            dx, dy = MARGIN * (right - left), MARGIN * (bottom - top)
            mouth[frame, max(0, int(top - dy)) : int(bottom + dy) + 1, max(0, int(left - dx)) : int(right + dx) + 1] = True
    inside = mouth.any()
    return (
        _decibel(errors.mean()),
        float(ssim.mean()),
        _decibel(errors[mouth].mean()) if inside else None,
        float(ssim[mouth].mean()) if inside else None,
    )


def _decibel(squared_error: float) -> float:
    """100 dB, more than any codec reaches, where nothing differs."""
    return float(min(100.0, 10 * np.log10(255.0**2 / max(squared_error, 1e-12))))
