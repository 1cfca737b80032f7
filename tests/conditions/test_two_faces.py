"""One picture of two people becomes two squares that meet."""

from __future__ import annotations

import pytest
import torch

from unitalking_core.conditions.portrait import PortraitError
from unitalking_core.conditions.two_faces import divide


def columns(height: int, width: int) -> torch.Tensor:
    """A picture (1, H, W, 3) whose red is the column and whose green is the row."""
    rows, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([across, rows, rows * 0], -1)[None].float()


def test_the_middle_parts_a_picture_without_known_faces() -> None:
    left, right, report = divide(columns(100, 160))
    assert left.shape == right.shape == (1, 80, 80, 3)
    assert torch.equal(torch.cat([left, right], 2)[0, 0, :, 0], torch.arange(160.0))
    assert left[0, 0, 0, 1] == 6  # a third of what is cut away, as portraits keep more of the top
    assert report == "160x100 -> two pictures of 80x80, parted at column 80, at 50% of the width"
    left, right, _ = divide(columns(100, 160), share=0.4)
    assert left.shape[1] == 64 and right[0, 0, 0, 0] == 64


def test_squares_lie_around_faces() -> None:
    """The largest two of three; in a large picture the squares come closer, and hold both faces."""
    faces = [(900.0, 100.0, 90.0, 100.0), (300.0, 140.0, 90.0, 100.0), (10.0, 10.0, 20.0, 20.0)]
    left, right, report = divide(columns(1000, 1600), faces)
    assert right[0, 0, 0, 0] == 645 and "between the faces" in report
    side = left.shape[1]
    assert left[0, 0, 0, 0] == 645 - side < 300 and 645 + side > 990 and side < 400
    assert left[0, 0, 0, 1] <= 100 and left[0, -1, 0, 1] >= 240
    close, _, _ = divide(columns(200, 600), [(180.0, 20.0, 100.0, 110.0), (320.0, 30.0, 100.0, 110.0)])
    assert close.shape[1:3] == (200, 200)


def test_faces_at_different_heights_are_whole() -> None:
    """One stands, one sits; one face that was found twice is one."""
    faces = [(760.0, 150.0, 150.0, 180.0), (1000.0, 600.0, 130.0, 150.0), (765.0, 155.0, 140.0, 170.0)]
    left, right, _ = divide(columns(1080, 1920), faces)
    side, top = left.shape[1], float(left[0, 0, 0, 1])
    assert top <= 150 and top + side >= 750
    assert left[0, 0, 0, 0] <= 760 and right[0, 0, 0, 0] == 955 and 955 + side >= 1130


@pytest.mark.parametrize(
    ("faces", "share", "message"),
    [
        ([(10.0, 10.0, 20.0, 20.0)], 0.5, "one face was found and two are needed: set the detector's num_faces to 2"),
        ([(10.0, 10.0, 20.0, 20.0), (11.0, 12.0, 18.0, 18.0)], 0.5, "one face was found"),
        ([], 0.5, "no face was found"),
        (None, 0.05, "room for squares of 5 pixels"),
        ([(0.0, 30.0, 20.0, 25.0), (30.0, 30.0, 30.0, 25.0)], 0.5, "hold 67% of the right face only"),
    ],
)
def test_what_cannot_be_divided(faces: list | None, share: float, message: str) -> None:
    with pytest.raises(PortraitError, match=message):
        divide(columns(100, 100), faces, share)


def test_all_frames_are_divided_alike() -> None:
    frames = torch.rand(3, 20, 40, 4)
    left, right, _ = divide(frames)
    assert torch.equal(torch.cat([left, right], 2), frames)
