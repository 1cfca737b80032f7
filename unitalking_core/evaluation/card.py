"""The table of a model card from an evaluation's JSON: `python -m unitalking_core.evaluation.card models/nano/metrics.json`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .figures import COLUMNS, NOTHING, decimals, interval, number, shown, words

HEADER = "| measure (better) | truth through the codecs | model | mismatched pairs | clips |\n| --- | --- | --- | --- | --- |"


def table(metrics: Mapping[str, Any]) -> str:
    """Markdown: per task a row for every figure, as value and 95 % interval. `metrics` in the format of `unitalking evaluate`."""
    parts = []
    for task, figures in metrics["tasks"].items():
        rows = [_row(name, figure) for name, figure in figures.items() if number((figure.get("model") or {}).get("value")) is not None]
        parts.append("\n".join([f"**{task}**", "", HEADER, *rows]))
    return "\n\n".join(parts) + "\n"


def _row(name: str, figure: Mapping[str, Any]) -> str:
    found = [figure.get(column) or {} for column in COLUMNS]
    places = decimals([number(column.get("value")) for column in found])
    cells = [_cell(column, places) for column in found]
    unit = f", {figure['unit']}" if figure.get("unit") else ""
    counts = sorted({column["n"] for column in found if "n" in column})
    return f"| {words(name)} ({figure['better']}{unit}) | {' | '.join(cells)} | {' / '.join(map(str, counts))} |"


def _cell(figure: Mapping[str, Any], places: int) -> str:
    value, ends = number(figure.get("value")), interval(figure)
    if value is None:
        return NOTHING
    return shown(value, places) + (f" ({shown(ends[0], places)} to {shown(ends[1], places)})" if ends else "")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m unitalking_core.evaluation.card", description="A model card's table from its metrics.")
    parser.add_argument("metrics", type=Path, help="what `unitalking evaluate` wrote")
    sys.stdout.write(table(json.loads(parser.parse_args().metrics.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
