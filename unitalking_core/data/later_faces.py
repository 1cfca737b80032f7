"""Faces for clips of speech alone, written into the manifest as seeds and drawn when the clip is read: frames take no room on disk.

A clip's face, caption and motion depend on the corpus's seed and the clip's id alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .captions import caption
from .faces import describe, sample_face
from .render import mouth_box, render, sample_motion
from .visemes import mouth_curves

LOG = logging.getLogger(__name__)


def give_faces(out: Path, *, again: bool = False) -> int:
    """Give every training clip of the corpus at `out` that has no picture a face; returns to how many.

    `again`: those whose frames are stored get another face too, and these frames are read no more. Held-out clips stay as they are. The
    manifest is written anew, so the corpus must not be growing meanwhile. Raises ValueError for what is no synthetic corpus.
    """
    manifest = out / "manifest.jsonl"
    if not (out / "corpus.json").is_file() or not manifest.is_file():
        raise ValueError(f"{out} is no synthetic corpus: corpus.json or manifest.jsonl is missing; `prepare synthetic` makes one")
    corpus = json.loads((out / "corpus.json").read_text(encoding="utf-8"))
    lines = [json.loads(text) for text in manifest.read_text(encoding="utf-8").split("\n")[:-1]]
    given = 0
    for line in lines:
        if line["split"].startswith("train") and "drawn" not in line and (again or "face" not in line):
            try:
                _give_face(line, corpus)
            except (KeyError, IndexError, ValueError) as error:
                raise ValueError(f"{manifest}: the clip {line.get('id')} is none that `prepare synthetic` made ({error!r})") from error
            given += 1
    part = manifest.with_suffix(".part")
    part.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    part.replace(manifest)
    return given


def _give_face(line: dict[str, Any], corpus: Mapping[str, Any]) -> None:
    rng = random.Random(f"{corpus['seed']} face {line['id']}")
    someone, trait, room = line["text"].split("<E> ")[1].rsplit(", ", 2)
    gender = someone.split()[1]
    # Even seeds are for training, as in `synthetic`.
    line["face"] = 2 * rng.randrange(2**40)
    face = sample_face(line["face"], gender)
    line["drawn"] = {
        "gender": gender, "motion": rng.getrandbits(40), "frames": round(line["seconds"] * corpus["fps"]),
        "fps": corpus["fps"], "height": corpus["height"],
    }  # fmt: skip
    line["mouth_box"] = [round(value, 4) for value in mouth_box(face)]
    line["text"] = caption(line["words"], describe(face, rng), trait, room)


def draw_clip(line: Mapping[str, Any]) -> np.ndarray:
    """The frames (F, H, H, 3) uint8 of a manifest's line that has a drawn face."""
    drawn, frames = line["drawn"], line["drawn"]["frames"]
    mouth = mouth_curves([tuple(phone) for phone in line["phones"]], frames, drawn["fps"])
    return render(sample_face(line["face"], drawn["gender"]), mouth, sample_motion(drawn["motion"], frames, drawn["fps"]), drawn["height"])


def main(arguments: list[str] | None = None) -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="unitalking prepare faces", description="Give clips of speech alone faces, drawn when read.")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--again", action="store_true", help="another face for clips that have frames, too")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    options = parser.parse_args(arguments)
    LOG.info("%d clips were given faces", give_faces(options.corpus, again=options.again))
