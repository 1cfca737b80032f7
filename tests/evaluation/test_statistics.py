"""Figures with intervals, against known answers."""

from __future__ import annotations

import numpy as np
import pytest

from unitalking_core.evaluation.statistics import summarise


def test_the_interval_of_a_share_is_that_of_the_binomial() -> None:
    found = summarise([1.0] * 50 + [0.0] * 50)
    assert found is not None
    assert (found["value"], found["n"]) == (0.5, 100)
    half = 1.96 * np.sqrt(0.5 * 0.5 / 100)
    assert found["low"] == pytest.approx(0.5 - half, abs=0.02)
    assert found["high"] == pytest.approx(0.5 + half, abs=0.02)


def test_values_that_agree_leave_no_doubt() -> None:
    assert summarise([0.3] * 7) == pytest.approx({"value": 0.3, "low": 0.3, "high": 0.3, "n": 7})


def test_clips_that_could_not_be_measured_do_not_count() -> None:
    assert summarise([None, 2.0, None]) == {"value": 2.0, "low": 2.0, "high": 2.0, "n": 1}
    assert summarise([None, None]) is None
    assert summarise([]) is None
    assert summarise([1.0, 5.0], [3, 0]) == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 1}


def test_weights_make_a_ratio_of_sums() -> None:
    errors, words = [1, 0, 6], [2, 5, 3]
    found = summarise([e / w for e, w in zip(errors, words, strict=True)], words)
    assert found is not None
    assert found["value"] == pytest.approx(sum(errors) / sum(words))
    assert found["low"] < found["value"] < found["high"]


def test_a_median_is_not_moved_by_one_far_value() -> None:
    found = summarise([0, 0, 0, 1, 0, 90, 0, 0, 0], statistic="median")
    assert found is not None
    assert found["value"] == 0
    with pytest.raises(ValueError, match="median"):
        summarise([1.0], [1.0], "median")


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=30).tolist()
    assert summarise(values) == summarise(values)
