"""The example portraits, voices and clip of the pack, put where the host looks for input, so that templates run unedited."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import folder_paths

EXAMPLES = Path(__file__).parent.parent / "models" / "nano" / "examples"
PREFIX = "unitalking_"


def copy_examples() -> None:
    """Copy them unless some are there: one that was deleted stays away. A folder that cannot be written costs only them."""
    folder = Path(folder_paths.get_input_directory())
    sources = sorted([*EXAMPLES.glob("*.png"), *EXAMPLES.glob("*.wav"), *EXAMPLES.glob("*.mp4")])
    if any((folder / f"{PREFIX}{source.name}").exists() for source in sources):
        return
    for source in sources:
        try:
            shutil.copyfile(source, folder / f"{PREFIX}{source.name}")
        except OSError as error:
            logging.getLogger("unitalking").warning("the example %s could not be copied to the input folder: %s", source.name, error)
