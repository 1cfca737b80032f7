"""The portrait: any picture -> the clip's size, without distortion. Images are (H, W, C) float32 in [0, 1]; sizes are (width, height)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Fit = Literal["crop", "pad", "contain"]
FITS: tuple[Fit, ...] = ("crop", "pad", "contain")
"""crop fills the frame and cuts what sticks out; pad shows the whole picture on grey; contain gives the frame the picture's own shape."""
SMALLEST_PIXELS = 16
BACKDROP = 0.5
"""Grey behind transparent pixels and beside a padded picture."""
FACE_SHARE = 0.4
"""A face that is known takes at least this much of a cropped frame's height, as in close portraits."""
FACE_HEIGHT = 0.45
"""Where its middle comes to lie, from the top."""
WIDEST = 3.0
"""The most that one side of a frame may be longer than the other."""
LARGER = 2.0
"""How many times more pixels than the trained size frames may have that a clip goes on from."""
Box = tuple[float, float, float, float]
"""x, y, width, height in pixels."""


class PortraitError(ValueError):
    """A picture that cannot serve as a portrait; the message says why and what to do."""


def snap_size(width: int, height: int, step: int) -> tuple[int, int]:
    """The nearest size whose sides are multiples of `step` pixels, one step at least."""
    return tuple(max(step, int(side / step + 0.5) * step) for side in (width, height))  # type: ignore[return-value]


def frame_size(picture: tuple[int, int], trained: tuple[int, int], step: int, fit: Fit) -> tuple[int, int]:
    """The clip's size for a picture: near the size the model was `trained` on, in multiples of `step` pixels.

    crop and pad: that size, or the same turned, as the picture lies or stands. contain: about as many pixels in the picture's shape.
    """
    if fit == "contain":
        return _bucket(trained[0] * trained[1], picture[0] / picture[1], step)
    upright, turned = snap_size(*trained, step), snap_size(trained[1], trained[0], step)
    shape = picture[0] / picture[1]
    return min((upright, turned), key=lambda size: abs(math.log(size[0] / size[1] / shape)))


def clip_size(picture: tuple[int, int], trained: tuple[int, int], step: int) -> tuple[int, int]:
    """The size of a clip that goes on from frames of this size: their own if the model can make it, else one near it in shape."""
    possible = picture[0] % step == 0 and picture[1] % step == 0 and picture[0] * picture[1] <= LARGER * trained[0] * trained[1]
    return picture if possible else frame_size(picture, trained, step, "contain")


def _bucket(pixels: int, shape: float, step: int) -> tuple[int, int]:
    shape = min(max(shape, 1 / WIDEST), WIDEST)
    ideal = math.sqrt(pixels * shape), math.sqrt(pixels / shape)
    sides = [{max(step, math.floor(side / step) * step), max(step, math.ceil(side / step) * step)} for side in ideal]

    def off(size: tuple[int, int]) -> float:
        return abs(math.log(size[0] / size[1] / shape)) + 0.25 * abs(math.log(size[0] * size[1] / pixels))

    return min(((w, h) for w in sorted(sides[0]) for h in sorted(sides[1])), key=off)


def box_of(mask: Tensor) -> Box | None:
    """What a mask (H, W) marks, as a box; None for an empty one."""
    rows, columns = ((mask > 0.5).any(axis).nonzero()[:, 0] for axis in (1, 0))
    if not len(rows):
        return None
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def fit_portrait(image: Tensor, width: int, height: int, fit: Fit, face: Box | None = None) -> tuple[Tensor, str]:
    """Image (H, W, 1, 3 or 4) -> (height, width, 3) and a sentence on what was done.

    A crop keeps more of the top than of the bottom, where the face is; with `face` it is laid around it. Raises PortraitError for an empty,
    tiny or non-finite picture.
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
    window = _window((w, h), (width, height), fit, face)
    picture = _shown(image[None], window, width, height)[0]
    return picture, _report((w, h), (width, height), window, fit, face)


def fit_frames(images: Tensor, width: int, height: int, fit: Fit) -> Tensor:
    """Frames (F, H, W, C) -> (F, height, width, 3), all cut or padded alike."""
    window = _window((images.shape[2], images.shape[1]), (width, height), fit, None)
    return torch.cat([_shown(part, window, width, height) for part in images.split(16)])


def _window(picture: tuple[int, int], frame: tuple[int, int], fit: Fit, face: Box | None) -> Box:
    """The part of the picture that fills the frame, in the picture's pixels; larger than it where the frame is padded."""
    (w, h), (width, height) = picture, frame
    scale = min(width / w, height / h) if fit == "pad" else max(width / w, height / h)
    size = width / scale, height / scale
    if fit == "pad":
        return (w - size[0]) / 2, (h - size[1]) / 2, *size
    if face is None or fit != "crop":
        return (w - size[0]) / 2, (h - size[1]) / 3, *size
    x, y, face_w, face_h = face
    closer = min(1.0, face_h / FACE_SHARE / size[1])
    closer = min(1.0, max(closer, 1.2 * face_w / size[0]))
    size = size[0] * closer, size[1] * closer
    left = min(max(x + face_w / 2 - size[0] / 2, 0.0), w - size[0])
    top = min(max(y + face_h / 2 - FACE_HEIGHT * size[1], 0.0), h - size[1])
    return left, top, *size


def _shown(images: Tensor, window: Box, width: int, height: int) -> Tensor:
    """(F, H, W, C) -> (F, height, width, 3): the window, transparency on grey, resampled once."""
    images = images.float().clamp(0, 1)
    if images.shape[-1] == 4:
        alpha = images[..., 3:]
        images = images[..., :3] * alpha + BACKDROP * (1 - alpha)
    planes = images.expand(-1, -1, -1, 3).movedim(-1, 1)
    h, w = planes.shape[2:]
    x, y, part_w, part_h = window
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(w, round(x + part_w)), min(h, round(y + part_h))
    planes = planes[:, :, top : max(bottom, top + 1), left : max(right, left + 1)]
    scale = width / part_w
    inner = (height, width) if x >= 0 and y >= 0 else tuple(max(1, round(n * scale)) for n in planes.shape[2:])
    if tuple(planes.shape[2:]) != tuple(inner):
        planes = F.interpolate(planes, size=inner, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    beside, above = (width - inner[1]) // 2, (height - inner[0]) // 2
    planes = F.pad(planes, (beside, width - inner[1] - beside, above, height - inner[0] - above), value=BACKDROP)
    return planes.movedim(1, -1).contiguous()


def _report(picture: tuple[int, int], frame: tuple[int, int], window: Box, fit: Fit, face: Box | None) -> str:
    (w, h), (width, height) = picture, frame
    line = f"portrait: {w}x{h} -> {width}x{height}"
    if (w, h) != (width, height):
        line += f" ({fit})"
    x, y, part_w, part_h = window
    if x >= 0 and y >= 0 and (cut := 1 - part_w * part_h / (w * h)) > 0.005:
        line += f", {cut:.0%} of the picture cut off"
    if face is not None and fit == "crop":
        line += f", laid around the face ({min(1.0, face[3] / part_h):.0%} of the height)"
    if width / part_w > 1.5:
        line += f", enlarged {width / part_w:.1f} times: a bigger picture would be sharper"
    return line


def faces_of(boxes: object, index: int) -> list[Box]:
    """All boxes of picture `index` in the host's BOUNDING_BOX, which is one box, a list of them, or a list for each picture."""
    if isinstance(boxes, Sequence) and boxes and isinstance(boxes[0], Sequence):
        boxes = boxes[min(index, len(boxes) - 1)]
    found = [boxes] if isinstance(boxes, dict) else list(boxes) if isinstance(boxes, Sequence) else []
    sizes = [(float(b["x"]), float(b["y"]), float(b["width"]), float(b["height"])) for b in found]
    return [b for b in sizes if b[2] > 0 and b[3] > 0]


def face_of(boxes: object, index: int) -> Box | None:
    """The largest of `faces_of`; None without any."""
    return max(faces_of(boxes, index), key=lambda b: b[2] * b[3], default=None)
