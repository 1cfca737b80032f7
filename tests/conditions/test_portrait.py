"""Any picture becomes a portrait of the clip's size, undistorted; what cannot is refused."""

from __future__ import annotations

import pytest
import torch

from unitalking_core.conditions.portrait import (
    BACKDROP,
    PortraitError,
    box_of,
    clip_size,
    face_of,
    faces_of,
    fit_frames,
    fit_portrait,
    frame_size,
    snap_size,
)


@pytest.mark.parametrize(("height", "width"), [(300, 200), (201, 333), (64, 64), (17, 999), (128, 128)])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_every_size_becomes_the_clips(height: int, width: int, fit: str) -> None:
    picture, report = fit_portrait(torch.rand(height, width, 3), 96, 128, fit)
    assert picture.shape == (128, 96, 3)
    assert f"{width}x{height} -> 96x128" in report


def test_a_circle_stays_round() -> None:
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(400.0), indexing="ij")
    disc = (((y - 100) ** 2 + (x - 200) ** 2).sqrt() < 60).float()[..., None].expand(-1, -1, 3)
    for fit in ("crop", "pad"):
        picture = fit_portrait(disc, 128, 128, fit)[0][..., 0] > (0.9 if fit == "pad" else 0.5)
        rows, columns = picture.any(1).sum(), picture.any(0).sum()
        assert abs(int(rows) - int(columns)) <= 1


def test_the_same_size_is_untouched() -> None:
    image = torch.rand(64, 64, 3)
    assert torch.equal(fit_portrait(image, 64, 64, "crop")[0], image)


def test_transparency_and_grey() -> None:
    clear = torch.zeros(32, 32, 4)
    assert fit_portrait(clear, 32, 32, "crop")[0].eq(BACKDROP).all()
    assert fit_portrait(torch.rand(32, 32, 1), 32, 32, "crop")[0].shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("image", "message"), [(torch.rand(4, 300, 3), "300x4"), (torch.full((64, 64, 3), float("nan")), "NaN"), (torch.rand(64, 64), "shape")]
)
def test_what_is_no_portrait_is_refused(image: torch.Tensor, message: str) -> None:
    with pytest.raises(PortraitError, match=message):
        fit_portrait(image, 64, 64, "crop")


def test_small_pictures_are_reported() -> None:
    assert "enlarged 4.0 times" in fit_portrait(torch.rand(32, 32, 3), 128, 128, "crop")[1]


def test_sizes_snap_to_the_grid() -> None:
    assert snap_size(130, 111, 32) == (128, 96)
    assert snap_size(1, 3000, 32) == (32, 3008)


def test_a_frame_lies_or_stands_as_the_picture_does() -> None:
    """1280x704 was trained; an upright photo gets the same frame turned, and contain its own shape at about as many pixels."""
    assert frame_size((3000, 4000), (1280, 704), 32, "crop") == (704, 1280)
    assert frame_size((4000, 3000), (1280, 704), 32, "pad") == (1280, 704)
    assert frame_size((500, 500), (128, 128), 32, "crop") == (128, 128)
    for picture in ((3000, 4000), (4000, 3000), (777, 777), (1920, 1080)):
        width, height = frame_size(picture, (1280, 704), 32, "contain")
        assert width % 32 == height % 32 == 0
        assert width * height == pytest.approx(1280 * 704, rel=0.06)
        assert width / height == pytest.approx(picture[0] / picture[1], rel=0.06)
    assert frame_size((17, 999), (128, 128), 32, "contain") == (64, 192)


def test_frames_that_can_be_made_keep_their_size() -> None:
    assert clip_size((96, 160), (128, 128), 32) == (96, 160)
    assert clip_size((1280, 704), (128, 128), 32) == (160, 96)
    assert clip_size((130, 130), (128, 128), 32) == (128, 128)


@pytest.mark.parametrize("face", [(300, 50, 40, 60), (10, 10, 80, 100), (560, 700, 40, 50), (200, 300, 300, 380)])
def test_a_crop_is_laid_around_the_face(face: tuple[int, int, int, int]) -> None:
    """The whole face is in it, large enough, and nothing is distorted."""
    x, y, w, h = face
    image = torch.zeros(800, 600, 3)
    image[y : y + h, x : x + w] = 1
    picture, report = fit_portrait(image, 128, 128, "crop", face)
    shown = (picture[..., 0] > 0.5).nonzero()
    rows, columns = (shown[:, i].max() - shown[:, i].min() + 1 for i in (0, 1))
    assert rows >= 0.39 * 128
    assert int(rows) / int(columns) == pytest.approx(h / w, rel=0.06)
    assert "laid around the face" in report
    assert picture[..., 0].mean() == pytest.approx(float(rows * columns) / 128**2, rel=0.1)


def test_a_mask_or_a_detectors_boxes_say_where_the_face_is() -> None:
    mask = torch.zeros(20, 30)
    mask[4:9, 10:16] = 1
    assert box_of(mask) == (10, 4, 6, 5)
    assert box_of(torch.zeros(4, 4)) is None
    small, large = {"x": 1, "y": 2, "width": 3, "height": 4}, {"x": 5, "y": 6, "width": 30, "height": 40, "score": 0.9}
    assert face_of(small, 0) == (1, 2, 3, 4)
    assert face_of([small, large], 0) == (5, 6, 30, 40)
    assert face_of([[small], [small, large]], 1) == (5, 6, 30, 40)
    assert face_of([[]], 0) is None
    empty = {"x": 1, "y": 2, "width": 0, "height": 4}
    assert faces_of([[small], [small, empty, large]], 1) == [(1, 2, 3, 4), (5, 6, 30, 40)]
    assert face_of(None, 0) is None


def test_frames_are_cut_alike() -> None:
    frames = torch.rand(20, 60, 90, 3)
    fitted = fit_frames(frames, 64, 64, "crop")
    assert fitted.shape == (20, 64, 64, 3)
    torch.testing.assert_close(fitted[7], fit_portrait(frames[7], 64, 64, "crop")[0])
