"""The options of `unitalking evaluate`: what makes no sense is refused, and nothing is written."""

from pathlib import Path

import pytest

from unitalking_core.cli import main


@pytest.mark.parametrize("option", ["--clips", "--steps", "--batch", "--workers"])
def test_counts_below_one_are_refused(option: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "metrics.json"
    assert main(["evaluate", "model.safetensors", "--corpus", str(tmp_path), "--json", str(out), option, "0"]) == 1
    assert option in capsys.readouterr().err
    assert not out.exists()
