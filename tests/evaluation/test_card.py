"""The model card says what was measured."""

import hashlib
import json
from pathlib import Path

import pytest

from unitalking_core.evaluation.card import table

NANO = Path(__file__).parents[2] / "models" / "nano"
shipped = pytest.mark.skipif(not (NANO / "metrics.json").is_file(), reason="the shipped nano was measured before `evaluate` was there")


def test_a_figure_is_a_row_with_its_intervals() -> None:
    figure = {
        "unit": "frames",
        "better": "lower",
        "ceiling": {"value": 0.1, "low": 0.05, "high": 0.2, "n": 8},
        "model": {"value": 0.25, "n": 8},
    }
    shown = table({"tasks": {"A2V": {"word_error": figure, "not_measured": {"unit": "", "better": "lower", "model": None}}}})
    assert shown.splitlines()[0] == "**A2V**"
    assert shown.splitlines()[-1] == "| word error (lower, frames) | 0.100 (0.050 to 0.200) | 0.250 | – | 8 |"


@shipped
def test_the_shipped_card_holds_the_shipped_figures() -> None:
    metrics = json.loads((NANO / "metrics.json").read_text(encoding="utf-8"))
    assert table(metrics).strip() in (NANO / "README.md").read_text(encoding="utf-8")


@shipped
def test_the_figures_are_of_the_shipped_checkpoint() -> None:
    metrics = json.loads((NANO / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["checkpoint"]["sha256"] == hashlib.sha256((NANO / "unitalking-nano.safetensors").read_bytes()).hexdigest()
