"""One picture of two people -> two square pictures that meet in it, one face in each. Images are (F, H, W, C) float32 in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .portrait import FACE_HEIGHT, FACE_SHARE, SMALLEST_PIXELS, Box, PortraitError

MARGIN = 0.25
"""Room beside a face, in widths of it, that its square keeps where it can."""
HELD, TWICE = 0.9, 0.5
"""Of a face: the least that its square must hold, and the most that it may share with another one."""


def divide(images: Tensor, faces: Sequence[Box] | None = None, share: float = 0.5) -> tuple[Tensor, Tensor, str]:
    """Left and right squares of one size (F, S, S, C), which meet, and a sentence on what was done.

    With `faces` the picture is parted in the middle between the two largest, and the squares are laid around them; without, at `share` of
    its width. Raises PortraitError for fewer than two faces, faces that such squares cannot hold, and where no square has room.
    """
    height, width = images.shape[1:3]
    if faces is None:
        pair, column = None, round(share * width)
        side = min(height, column, width - column)
        top = (height - side) // 3
    else:
        pair = _pair(faces)
        column = round((pair[0][0] + pair[0][2] + pair[1][0]) / 2)
        side = min(height, column, width - column, _around(*pair, column))
        top = _top(pair, side, height)
    if side < SMALLEST_PIXELS:
        raise PortraitError(
            f"parted at column {column}, this picture of {width}x{height} has room for squares of {side} pixels only; two people "
            "need a picture that is wider than it is high, parted near its middle"
        )
    if pair is not None:
        for face, start, which in ((pair[0], column - side, "left"), (pair[1], column, "right")):
            if (inside := _inside(face, (start, top, side, side))) < HELD:
                raise PortraitError(
                    f"two squares that meet at column {column} of {width}x{height} pixels hold {inside:.0%} of the {which} face only; the "
                    "faces are too far apart or too near the edge. Crop the picture, or encode a portrait of each person"
                )
    rows = images[:, top : top + side]
    how = "between the faces" if pair else f"at {share:.0%} of the width"
    report = f"{width}x{height} -> two pictures of {side}x{side}, parted at column {column}, {how}"
    return rows[:, :, column - side : column], rows[:, :, column : column + side], report


def _pair(faces: Sequence[Box]) -> tuple[Box, Box]:
    """The two largest, left and right; a box over another is the same face found twice."""
    found: list[Box] = []
    for face in sorted(faces, key=lambda face: face[2] * face[3], reverse=True):
        if all(_inside(face, other) < TWICE for other in found):
            found.append(face)
    if len(found) < 2:
        count = "one face was" if found else "no face was"
        raise PortraitError(
            f"{count} found and two are needed: set the detector's num_faces to 2, or part the picture by hand (take the link to 'faces' "
            "away and set 'split')"
        )
    left, right = sorted(found[:2], key=lambda face: face[0] + face[2] / 2)
    return left, right


def _around(left: Box, right: Box, column: int) -> int:
    """The side of squares that show both faces large and whole."""
    wanted = max(left[3], right[3]) / FACE_SHARE
    reach = max(column - left[0] + MARGIN * left[2], right[0] + (1 + MARGIN) * right[2] - column)
    span = max(left[1] + left[3], right[1] + right[3]) - min(left[1], right[1]) + 2 * MARGIN * max(left[3], right[3])
    return round(max(wanted, reach, span))


def _top(pair: tuple[Box, Box], side: int, height: int) -> int:
    """The first row of the squares: faces lie where portraits have them, and are whole where there is room."""
    middle = sum(face[1] + face[3] / 2 for face in pair) / 2
    lowest, highest = max(face[1] + face[3] for face in pair) - side, min(face[1] for face in pair)
    wanted = max(min(middle - FACE_HEIGHT * side, highest), lowest)
    return min(max(round(wanted), 0), height - side)


def _inside(face: Box, square: Box) -> float:
    """The part of a face that lies in a box."""
    across, down = (max(0.0, min(face[i] + face[i + 2], square[i] + square[i + 2]) - max(face[i], square[i])) for i in (0, 1))
    return across * down / (face[2] * face[3])
