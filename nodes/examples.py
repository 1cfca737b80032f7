"""The example portraits, voices and clip of the pack, put where the host looks for input, so that templates run unedited."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import folder_paths

EXAMPLES = Path(__file__).parent.parent / "models" / "nano" / "examples"
PREFIX = "unitalking_"
COPIED = ".unitalking_examples"
"""Beside the copies: the names of all that were ever made. What is deleted stays away, what a new version brings comes."""


def copy_examples() -> None:
    """Copy those that were not copied before. A folder that cannot be written costs only them."""
    folder = Path(folder_paths.get_input_directory())
    note = folder / COPIED
    try:
        known = set(note.read_text(encoding="utf-8").split()) if note.is_file() else set()
        for source in sorted([*EXAMPLES.glob("*.png"), *EXAMPLES.glob("*.wav"), *EXAMPLES.glob("*.mp4")]):
            name = f"{PREFIX}{source.name}"
            if name in known:
                continue
            if not (folder / name).exists():
                shutil.copyfile(source, folder / name)
            known.add(name)
            note.write_text("\n".join(sorted(known)) + "\n", encoding="utf-8")
    except OSError as error:
        logging.getLogger("unitalking").warning("the examples could not be copied to the input folder: %s", error)
