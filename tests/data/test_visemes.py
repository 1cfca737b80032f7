"""Mouth curves: lips meet on p b m, shapes arrive when their phones do, bad phones are refused."""

import numpy as np
import pytest

from unitalking_core.data.visemes import VISEMES, mouth_curves

FPS = 24.0


def _word(symbol: str, start: float = 0.80, length: float = 0.05) -> list[tuple[float, float, str]]:
    return [(start - 0.2, start, "AA"), (start, start + length, symbol), (start + length, start + length + 0.2, "AA")]


@pytest.mark.parametrize("symbol", ["P", "B", "M"])
@pytest.mark.parametrize("start", [0.80, 0.81, 0.82, 0.83])
def test_lips_meet_on_bilabials_wherever_the_frames_fall(symbol: str, start: float) -> None:
    opening = mouth_curves(_word(symbol, start), 49, FPS)[:, 0]
    closed = np.abs(np.arange(49) / FPS - (start + 0.025)) <= 0.5 / FPS + 0.025
    assert opening[closed].min() < 0.01
    assert opening.max() > 0.4


def test_other_consonants_do_not_close_the_lips() -> None:
    opening = mouth_curves(_word("K"), 49, FPS)[:, 0]
    assert opening[round(0.825 * FPS)] > 0.4


@pytest.mark.parametrize("start", [0.3, 0.7, 1.1])
def test_a_vowel_opens_the_mouth_in_its_own_time(start: float) -> None:
    opening = mouth_curves([(start, start + 0.2, "AA")], 49, FPS)[:, 0]
    moment = (np.arange(49) * opening).sum() / opening.sum() / FPS
    assert abs(moment - (start + 0.1)) < 0.5 / FPS
    assert opening[: int((start - 0.07) * FPS)].max(initial=0) == 0


def test_delaying_phones_by_whole_frames_delays_the_curves() -> None:
    phones = _word("F", 0.5)
    later = [(a + 5 / FPS, b + 5 / FPS, symbol) for a, b, symbol in phones]
    np.testing.assert_allclose(mouth_curves(phones, 40, FPS)[:35], mouth_curves(later, 40, FPS)[5:], atol=0.05)


def test_rounding_and_width_tell_vowels_apart() -> None:
    oo, ee = (mouth_curves([(0.4, 0.8, symbol)], 25, FPS)[round(0.6 * FPS)] for symbol in ("UW", "IY"))
    assert oo[2] > 0.8 > 0.2 > ee[2]
    assert ee[1] > 0.8 > 0.2 > oo[1]


def test_every_arpabet_phone_has_a_shape_and_unknown_ones_are_named() -> None:
    assert len(VISEMES) == 40
    with pytest.raises(ValueError, match="'XX'"):
        mouth_curves([(0, 1, "XX")], 9, FPS)
    with pytest.raises(ValueError, match="before it begins"):
        mouth_curves([(1, 0.5, "AA")], 9, FPS)
