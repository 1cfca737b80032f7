"""The ablations' table: each row against the baseline of the same seed, clip by clip, with what chance alone would give beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

BASELINE = "baseline"


def table(results: Sequence[Mapping]) -> str:
    """Results ({"row", "seed", "parameters", "steps", "clips", "measures"}) as Markdown, one line a row and seed.

    A baseline's cell is its mean over clips; every other one adds the difference from the baseline of its seed with the half width of its
    95 % interval over clips. The baselines of further seeds are compared with the first: that is how far two trainings differ by chance.
    """
    if not results:
        return ""
    names = list(results[0]["measures"])
    lines = ["| row | seed | parameters | " + " | ".join(names) + " |", "| --- " * (3 + len(names)) + "|"]
    baselines = {r["seed"]: r for r in results if r["row"] == BASELINE}
    first = next(iter(baselines.values()))
    for result in results:
        reference = first if result["row"] == BASELINE else baselines[result["seed"]]
        cells = [_cell(result["measures"].get(name), None if result is first else reference["measures"][name]) for name in names]
        lines.append(f"| {result['row']} | {result['seed']} | {result['parameters'] / 1e6:.2f}M | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(values: Sequence[float] | None, reference: Sequence[float] | None) -> str:
    if values is None:
        return "-"
    mean = f"{sum(values) / len(values):.3f}"
    if reference is None:
        return mean
    difference, half_width = paired(values, reference)
    return f"{mean} ({difference:+.3f} ± {half_width:.3f})"


def paired(values: Sequence[float], reference: Sequence[float]) -> tuple[float, float]:
    """Mean difference of values of the same clips, and the half width of its 95 % interval (normal approximation)."""
    differences = [a - b for a, b in zip(values, reference, strict=True)]
    mean = sum(differences) / len(differences)
    variance = sum((d - mean) ** 2 for d in differences) / (len(differences) - 1)
    return mean, 1.96 * math.sqrt(variance / len(differences))
