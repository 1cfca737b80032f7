"""The example portraits and voices of the pack, put where the host looks for input, so that templates run unedited."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import folder_paths

EXAMPLES = Path(__file__).parent.parent / "models" / "nano" / "examples"
PREFIX = "unitalking_"


def copy_examples() -> None:
    """Copy what is not in the input folder yet; a folder that cannot be written costs the examples, not the pack."""
    for source in sorted([*EXAMPLES.glob("*.png"), *EXAMPLES.glob("*.wav")]):
        target = Path(folder_paths.get_input_directory()) / f"{PREFIX}{source.name}"
        try:
            if not target.exists():
                shutil.copyfile(source, target)
        except OSError as error:
            logging.getLogger("unitalking").warning("the example %s could not be copied to the input folder: %s", source.name, error)
