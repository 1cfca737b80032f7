"""One picture of two people -> two square pictures that meet in it, one face in each. Images are (F, H, W, C) float32 in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .portrait import FACE_HEIGHT, FACE_SHARE, SMALLEST_PIXELS, Box, PortraitError

MARGIN = 0.25
"""Room beside a face, in widths of it, that its square keeps."""


def divide(images: Tensor, faces: Sequence[Box] = (), share: float = 0.5) -> tuple[Tensor, Tensor, str]:
    """Left and right squares of one size (F, S, S, C), which meet, and a sentence on what was done.

    With two or more `faces` the two largest are parted in the middle between them, and the squares are laid around them; without any the
    picture is parted at `share` of its width. Raises PortraitError for one face alone and where no square has room.
    """
    height, width = images.shape[1:3]
    if len(faces) == 1:
        raise PortraitError(
            "one face was found and two are needed; part the picture by hand: take the link to 'faces' away and set 'split'"
        )
    if faces:
        left, right = sorted(sorted(faces, key=lambda face: face[2] * face[3])[-2:], key=_middle)
        column = round((left[0] + left[2] + right[0]) / 2)
        side = _around(left, right, column, min(height, column, width - column))
        heads = (left[1] + left[3] / 2 + right[1] + right[3] / 2) / 2
        top = min(max(round(heads - FACE_HEIGHT * side), 0), height - side)
    else:
        column = round(share * width)
        side = min(height, column, width - column)
        top = (height - side) // 3
    if side < SMALLEST_PIXELS:
        raise PortraitError(
            f"parted at column {column}, this picture of {width}x{height} has room for squares of {side} pixels only; two people "
            "need a picture that is wider than it is high, parted near its middle"
        )
    rows = images[:, top : top + side]
    how = "between the faces" if faces else f"at {share:.0%} of the width"
    report = f"{width}x{height} -> two pictures of {side}x{side}, parted at column {column}, {how}"
    return rows[:, :, column - side : column], rows[:, :, column : column + side], report


def _middle(face: Box) -> float:
    return face[0] + face[2] / 2


def _around(left: Box, right: Box, column: int, most: int) -> int:
    """The side of squares that show both faces large, no larger than `most`."""
    wanted = max(left[3], right[3]) / FACE_SHARE
    reach = max(column - left[0] + MARGIN * left[2], right[0] + (1 + MARGIN) * right[2] - column)
    return min(most, round(max(wanted, reach)))
