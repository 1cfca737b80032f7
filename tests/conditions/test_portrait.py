"""Any picture becomes a portrait of the clip's size, undistorted; what cannot is refused."""

from __future__ import annotations

import pytest
import torch

from unitalking_core.conditions.portrait import BACKDROP, PortraitError, fit_portrait, snap_size


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
