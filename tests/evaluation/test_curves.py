"""Curves with known shifts, bursts with known places."""

from __future__ import annotations

import numpy as np
import pytest

from unitalking_core.evaluation.curves import best_lag, correlation, correlations_by_lag, envelope, opening_of_cues, opening_range

FRAMES, FPS, RATE = 49, 24.0, 16000


def wiggle(frames: int, seed: int = 0) -> np.ndarray:
    """A smooth curve without a period."""
    noise = np.random.default_rng(seed).normal(size=frames + 40)
    return np.convolve(noise, np.hanning(7), "same")[20 : 20 + frames]


@pytest.mark.parametrize("shift", [-5, -1, 0, 3, 8])
def test_the_lag_of_a_shifted_picture_is_its_shift(shift: int) -> None:
    curve = wiggle(FRAMES + 20)
    sound, picture = curve[10 : 10 + FRAMES], curve[10 - shift : 10 - shift + FRAMES]
    assert best_lag(picture, sound) == shift
    assert correlations_by_lag(picture, sound)[shift] == pytest.approx(1)


def test_what_does_not_move_fits_nothing() -> None:
    assert correlation(np.ones(9), wiggle(9)) is None
    assert best_lag(np.zeros(FRAMES), wiggle(FRAMES)) is None


def test_correlation_knows_sign_but_not_scale() -> None:
    curve = wiggle(FRAMES)
    assert correlation(curve, 3 * curve + 7) == pytest.approx(1)
    assert correlation(curve, -curve) == pytest.approx(-1)


def test_loudness_peaks_at_the_frame_of_a_burst() -> None:
    waveform = np.zeros(round(FRAMES * RATE / FPS), np.float32)
    moment = 20 / FPS
    burst = slice(round((moment - 0.01) * RATE), round((moment + 0.01) * RATE))
    waveform[burst] = 0.5
    curve = envelope(waveform, RATE, FRAMES, FPS)
    assert curve.shape == (FRAMES,)
    assert curve.argmax() == 20
    assert curve[:17].max() == curve[24:].max() == 0


def test_loudness_of_a_steady_tone_is_its_root_mean_square() -> None:
    tone = 0.4 * np.sin(2 * np.pi * 200 * np.arange(RATE * 3) / RATE).astype(np.float32)
    assert envelope(tone, RATE, 60, FPS)[5:50] == pytest.approx(0.4 / np.sqrt(2), rel=0.02)


def test_cues_open_the_mouth_while_they_last() -> None:
    curve = opening_of_cues([(0.0, "X"), (0.5, "D"), (1.0, "A"), (1.5, "X")], FRAMES, FPS)
    assert curve[18] == pytest.approx(1, abs=0.01)
    assert curve[[3, 30, 45]] == pytest.approx(0, abs=0.01)
    assert 0.2 < curve[12] < 0.8


def test_the_range_ignores_single_frames() -> None:
    opening = np.concatenate([np.full(50, 0.1), np.full(50, 0.3), [5.0]])
    assert opening_range(opening) == pytest.approx((0.1, 0.3))
