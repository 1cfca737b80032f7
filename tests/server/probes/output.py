"""Where probes write."""

from __future__ import annotations

from pathlib import Path

import folder_paths


def output(name: str, ending: str) -> str:
    return str(Path(folder_paths.get_output_directory()) / f"{name}.{ending}")
