"""The report's drawings, as inline SVG. Colours come from the page's style (classes ceiling, model, floor, sound) and follow its theme.

Every drawing carries its numbers in words for those who do not see it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .figures import COLUMNS, decimals, interval, number, shown
from .markup import Markup, tag

_BAR = (240, 26)
_HISTOGRAM = (300, 96)
_CURVE = (460, 130)
_FURTHEST_LAG = 15

TARGETS = {"zero": 0.0, "one": 1.0}
"""Directions that mean: the nearer to this value, the better."""
BETTER = ("higher", "lower", *TARGETS)


def comparison(metric: Mapping[str, Any]) -> Markup:
    """Floor, model and ceiling of one metric on one line, better to the right; nothing for a metric with no better direction."""
    width, height = _BAR
    figures = {column: metric.get(column) for column in COLUMNS}
    values = {column: value for column in COLUMNS if (value := number((figures[column] or {}).get("value"))) is not None}
    better = str(metric.get("better"))
    if not values or better not in BETTER:
        return Markup("")
    goodness = {column: _goodness(value, value, better)[0] for column, value in values.items()}
    ranges = {column: _goodness(*(interval(figures[column]) or (value, value)), better) for column, value in values.items()}
    low, high = min(r[0] for r in ranges.values()), max(r[1] for r in ranges.values())
    margin, middle = 9, height / 2

    def x(good: float) -> float:
        return margin + (width - 2 * margin) * (0.5 if high == low else (good - low) / (high - low))

    drawn = [tag("line", class_="axis", x1=margin, x2=width - margin, y1=middle, y2=middle)]
    if {"floor", "model"} <= values.keys():
        start, end = sorted((x(goodness["floor"]), x(goodness["model"])))
        drawn.append(tag("rect", class_="gain", x=start, width=end - start, y=middle - 3, height=6))
    for column in ("floor", "ceiling", "model"):
        if column in values:
            left, right = map(x, ranges[column])
            drawn.append(tag("line", class_=f"range {column}", x1=left, x2=right, y1=middle, y2=middle))
    if "floor" in values:
        at = x(goodness["floor"])
        drawn.append(tag("line", class_="mark floor", x1=at, x2=at, y1=middle - 5, y2=middle + 5))
    if "ceiling" in values:
        at = x(goodness["ceiling"])
        drawn.append(tag("line", class_="mark ceiling", x1=at, x2=at, y1=middle - 9, y2=middle + 9))
    if "model" in values:
        drawn.append(tag("circle", class_="mark model", cx=x(goodness["model"]), cy=middle, r=5))
    places = decimals(list(values.values()))
    label = ", ".join(f"{column} {shown(value, places)}" for column, value in values.items())
    return tag("svg", drawn, viewBox=f"0 0 {width} {height}", class_="comparison", role="img", aria_label=label)


def _goodness(low: float, high: float, better: str) -> tuple[float, float]:
    """An interval of values -> the same on a scale where more is better."""
    if better == "lower":
        return -high, -low
    if better in TARGETS:
        target = TARGETS[better]
        far, near = max(abs(low - target), abs(high - target)), min(abs(low - target), abs(high - target))
        return -far, 0.0 if low <= target <= high else -near
    return low, high


def lag_histogram(lags: Sequence[Any], column: str, reach: int, tallest: float) -> Markup:
    """How many clips have which lag. lags: frames, None where unknown. reach: the axis goes from -reach to reach, what is
    beyond counts at its ends. tallest: the share of clips at full height, so that drawings beside each other compare.
    """
    width, height = _HISTOGRAM
    base, top = height - 20, 6
    known = [round(lag) for value in lags if (lag := number(value)) is not None]
    counts = Counter(max(-reach, min(reach, lag)) for lag in known)
    step = width / (2 * reach + 1)
    drawn = [tag("rect", class_="good", x=(reach - 1) * step, width=3 * step, y=0, height=base)]
    for lag, count in sorted(counts.items()):
        tall = (base - top) * count / len(known) / tallest
        title = tag("title", f"{_lag(lag)}: {count} of {len(known)}")
        drawn.append(
            tag("rect", title, class_=f"fill {column}", x=(lag + reach + 0.12) * step, width=0.76 * step, y=base - tall, height=tall)
        )
    drawn.append(tag("line", class_="axis", x1=0, x2=width, y1=base, y2=base))
    for lag in sorted({-reach, -1, 0, 1, reach}):
        drawn.append(tag("text", _signed(lag), x=(lag + reach + 0.5) * step, y=height - 5, text_anchor="middle"))
    label = f"lags of the {column}: " + (", ".join(f"{_lag(lag)} {count}" for lag, count in sorted(counts.items())) or "none known")
    return tag("svg", drawn, viewBox=f"0 0 {width} {height}", class_="histogram", role="img", aria_label=label)


def lag_scale(lags: Mapping[str, Sequence[Any]]) -> tuple[int, float]:
    """(reach, tallest) for `lag_histogram` that fit all of these columns."""
    columns = [[round(lag) for value in values if (lag := number(value)) is not None] for values in lags.values()]
    furthest = max((abs(lag) for values in columns for lag in values), default=0)
    reach = max(4, min(_FURTHEST_LAG, furthest))
    tallest = 0.0
    for values in columns:
        counts = Counter(max(-reach, min(reach, lag)) for lag in values)
        tallest = max([tallest, *(count / len(values) for count in counts.values())])
    return reach, tallest or 1.0


def curves(curve: Mapping[str, Any]) -> Markup:
    """Mouth opening of model and truth (on one scale) before the sound's loudness (on its own), over seconds."""
    width, height = _CURVE
    base, top = height - 22, 8
    fps = number(curve.get("fps")) or 25.0
    model, truth, sound = (list(map(number, curve.get(key) or [])) for key in ("opening_model", "opening_truth", "sound"))
    frames = max(len(model), len(truth), len(sound), 2)
    openings = [value for value in model + truth if value is not None]
    low, high = min(openings, default=0.0), max(openings, default=1.0)
    loudest = max((value for value in sound if value is not None), default=0.0) or 1.0

    def x(frame: float) -> float:
        return width * frame / (frames - 1)

    def opening(value: float) -> float:
        return base - (base - top) * (value - low) / ((high - low) or 1.0)

    def loudness(value: float) -> float:
        return base - (base - top) * max(value, 0.0) / loudest

    drawn: list[Markup] = []
    if sound:
        outline = " ".join(f"L{x(i):.1f} {loudness(value or 0.0):.1f}" for i, value in enumerate(sound))
        drawn.append(tag("path", class_="area sound", d=f"M0 {base} {outline} L{x(len(sound) - 1):.1f} {base} Z"))
    drawn.append(tag("line", class_="axis", x1=0, x2=width, y1=base, y2=base))
    seconds = frames / fps
    step = 0.5 if seconds <= 2.5 else 1 if seconds <= 10 else 5
    for i in range(1, int((seconds - 0.15) / step) + 1):
        drawn.append(tag("line", class_="axis", x1=x(i * step * fps), x2=x(i * step * fps), y1=base, y2=base + 4))
        drawn.append(tag("text", f"{i * step:g} s", x=x(i * step * fps), y=height - 5, text_anchor="middle"))
    for column, values in (("ceiling", truth), ("model", model)):
        drawn += [tag("path", class_=f"curve {column}", d=piece) for piece in _pieces(values, x, opening)]
    label = f"mouth opening and loudness of clip {curve.get('id')} over {seconds:.1f} s"
    return tag("svg", drawn, viewBox=f"0 0 {width} {height}", class_="curves", role="img", aria_label=label)


def _pieces(values: Sequence[float | None], x: Any, y: Any) -> list[str]:
    """Paths through the known values, broken where one is unknown."""
    pieces: list[list[str]] = [[]]
    for i, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{x(i):.1f} {y(value):.1f}")
    return ["M" + " L".join(points) for points in pieces if points]


def swatch(column: str) -> Markup:
    """The mark by which a column ("model"), its curve ("curve model") or the sound is known in the drawings."""
    middle = 8
    if column == "model":
        drawn = tag("circle", class_="mark model", cx=middle, cy=middle, r=5)
    elif column == "sound":
        drawn = tag("rect", class_="area sound", x=1, width=14, y=3, height=10)
    elif column.startswith("curve"):
        drawn = tag("path", class_=column, d=f"M0 {middle} L16 {middle}")
    else:
        half = 7 if column == "ceiling" else 4
        drawn = tag("line", class_=f"mark {column}", x1=middle, x2=middle, y1=middle - half, y2=middle + half)
    return tag("svg", drawn, viewBox="0 0 16 16", class_="swatch", aria_hidden="true")


def _signed(lag: int) -> str:
    return shown(float(lag), 0) if lag <= 0 else f"+{lag}"


def _lag(lag: int) -> str:
    return f"{_signed(lag)} frame" + ("" if abs(lag) == 1 else "s")
