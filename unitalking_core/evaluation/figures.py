"""Numbers as they are shown: as many digits as a reader can use, the same number of decimals for all that stand in one row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Column = Literal["ceiling", "model", "floor"]
COLUMNS: tuple[Column, ...] = ("ceiling", "model", "floor")

NOTHING = "–"
MINUS = "\u2212"


def number(value: object) -> float | None:
    """A finite number, or None for everything else (absent, NaN, a truth value, text)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def decimals(values: Sequence[float | None]) -> int:
    """Decimals that show about three digits of the largest of them; none where all are whole."""
    known = [abs(value) for value in values if value is not None]
    if all(value == int(value) for value in known):
        return 0
    largest = max(known)
    return 3 if largest < 2 else 2 if largest < 20 else 1 if largest < 200 else 0


def shown(value: float | None, places: int) -> str:
    """With a real minus sign and no negative zero."""
    if value is None:
        return NOTHING
    text = f"{value:.{places}f}"
    if text.startswith("-"):
        text = text[1:] if float(text) == 0 else MINUS + text[1:]
    return text


def interval(figure: Mapping[str, Any] | None) -> tuple[float, float] | None:
    """(low, high) of a figure such as {"value", "low", "high", "n"}, None where it has none."""
    low, high = number((figure or {}).get("low")), number((figure or {}).get("high"))
    return None if low is None or high is None else (low, high)


def words(key: str) -> str:
    """A key of the JSON as words."""
    return key.replace("_", " ")
