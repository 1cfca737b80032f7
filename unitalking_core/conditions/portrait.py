"""The portrait: any picture -> the clip's size, without distortion. Images are (H, W, C) float32 in [0, 1]."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Fit = Literal["crop", "pad"]
FITS: tuple[Fit, ...] = ("crop", "pad")
SMALLEST_PIXELS = 16
BACKDROP = 0.5
"""Grey behind transparent pixels and beside a padded picture."""


class PortraitError(ValueError):
    """A picture that cannot serve as a portrait; the message says why and what to do."""


def snap_size(width: int, height: int, step: int) -> tuple[int, int]:
    """The nearest size whose sides are multiples of `step` pixels, one step at least."""
    return tuple(max(step, int(side / step + 0.5) * step) for side in (width, height))  # type: ignore[return-value]


def fit_portrait(image: Tensor, width: int, height: int, fit: Fit) -> tuple[Tensor, str]:
    """Image (H, W, 1, 3 or 4) -> (height, width, 3) and a sentence on what was done.

    `crop` fills the frame and cuts what sticks out, more at the bottom than at the top, where the face is; `pad` shows all of it.
    Raises PortraitError for an empty, tiny or non-finite picture.
    """
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4):
        raise PortraitError(
            f"the portrait is not a picture: its shape is {tuple(image.shape)}, expected (height, width, 1, 3 or 4 channels)"
        )
    h, w = image.shape[:2]
    if min(h, w) < SMALLEST_PIXELS:
        raise PortraitError(f"the portrait is {w}x{h} pixels; {SMALLEST_PIXELS} on each side is the least that shows a face")
    if not torch.isfinite(image).all():
        raise PortraitError("the portrait holds NaN or infinite pixels; load it again")
    image = image.float().clamp(0, 1)
    if image.shape[-1] == 4:
        alpha = image[..., 3:]
        image = image[..., :3] * alpha + BACKDROP * (1 - alpha)
    image = image.expand(-1, -1, 3)
    scale = max(width / w, height / h) if fit == "crop" else min(width / w, height / h)
    inner_w, inner_h = max(1, round(w * scale)), max(1, round(h * scale))
    planes = image.movedim(-1, 0)[None]
    if (inner_h, inner_w) != (h, w):
        planes = F.interpolate(planes, size=(inner_h, inner_w), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    left, top = (inner_w - width) // 2, (inner_h - height) // (2 if inner_h < height else 3)
    planes = F.pad(planes, (-left, width - inner_w + left, -top, height - inner_h + top), value=BACKDROP)
    report = f"portrait: {w}x{h} -> {width}x{height}"
    if (inner_w, inner_h) != (width, height):
        report += f" ({fit})"
    if scale > 1.5:
        report += f", enlarged {scale:.1f} times: a bigger picture would be sharper"
    return planes[0].movedim(0, -1).contiguous(), report
