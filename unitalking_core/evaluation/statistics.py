"""From values per clip to a figure with its interval: bootstrap over clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np

Statistic = Literal["mean", "median"]
RESAMPLES = 2000
CONFIDENCE = 0.95


class Interval(TypedDict):
    """A figure, its 95 % interval and over how many clips."""

    value: float
    low: float
    high: float
    n: int


def summarise(values: Sequence[float | None], weights: Sequence[float] | None = None, statistic: Statistic = "mean") -> Interval | None:
    """The statistic of what was measured, None where nothing was.

    values: one per clip, None where the clip could not be measured. weights: how much each clip counts in the mean, for example its number
    of words, so that the figure is errors over words and not a mean of ratios. The interval is the percentile bootstrap over clips
    (Efron 1979), from a fixed seed: the same values give the same interval. Raises ValueError for weighted medians.
    """
    if weights is not None and statistic == "median":
        raise ValueError("a median has no weights here")
    kept = [i for i, value in enumerate(values) if value is not None and (weights is None or weights[i] > 0)]
    if not kept:
        return None
    x = np.array([values[i] for i in kept], dtype=np.float64)
    w = np.ones(len(kept)) if weights is None else np.array([weights[i] for i in kept], dtype=np.float64)
    drawn = np.random.default_rng(0).integers(len(kept), size=(RESAMPLES, len(kept)))
    if statistic == "median":
        value, spread = float(np.median(x)), np.median(x[drawn], axis=1)
    else:
        value, spread = float((x * w).sum() / w.sum()), (x * w)[drawn].sum(1) / w[drawn].sum(1)
    low, high = np.quantile(spread, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value=value, low=float(low), high=float(high), n=len(kept))
