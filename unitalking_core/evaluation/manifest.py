"""Which clips a measurement is of: the held-out lines of a corpus's manifest, committed beside the checkpoint as its test manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ..training.corpus import CorpusError

HELD_OUT = "heldout"
"""The split of a corpus that nothing is learned from."""


def held_out_lines(corpus: Path) -> list[str]:
    """The lines of the manifest whose split is held out, as they stand. Raises CorpusError for a line that is not JSON."""
    path = corpus / "manifest.jsonl"
    if not path.is_file():
        raise CorpusError(f"no corpus at {corpus}: {path.name} is missing; make it with `unitalking prepare` first")
    return [line for line in _lines(path) if _field(path, line, "split") == HELD_OUT]


def write_test_manifest(corpus: Path, out: Path) -> int:
    """Write the held-out lines to a file of their own; returns how many."""
    lines = held_out_lines(corpus)
    out.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return len(lines)


def check_same(corpus: Path, committed: Path) -> None:
    """Raises CorpusError, naming the first clip that differs, unless the corpus's held-out lines are those of the committed file."""
    if not committed.is_file():
        raise CorpusError(f"no such test manifest: {committed}")
    there, wanted = held_out_lines(corpus), _lines(committed)
    for a, b in zip(there, wanted, strict=False):
        if a == b:
            continue
        here, asked = json.loads(a), json.loads(b)
        if here.get("id") != asked.get("id"):
            raise CorpusError(f"{corpus} has the clip {here.get('id')} where {committed.name} has {asked.get('id')}: it is another corpus")
        differing = ", ".join(sorted(key for key in here.keys() | asked.keys() if here.get(key) != asked.get(key)))
        raise CorpusError(
            f"the clip {here['id']} of {corpus} is not the one of {committed.name}: {differing} differ; make the corpus again"
        )
    if len(there) != len(wanted):
        ids = [json.loads(line)["id"] for line in max(there, wanted, key=len)]
        raise CorpusError(
            f"{corpus} has {len(there)} held-out clips, {committed.name} has {len(wanted)}; the first that only one of them has is "
            f"{ids[min(len(there), len(wanted))]}"
        )


def digest(corpus: Path) -> str:
    """SHA-256 of the held-out lines: that of the test manifest."""
    return hashlib.sha256("".join(line + "\n" for line in held_out_lines(corpus)).encode()).hexdigest()


def _lines(path: Path) -> Sequence[str]:
    """Whole lines; one that is still being written is left out."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def _field(path: Path, line: str, name: str) -> str:
    try:
        return json.loads(line)[name]
    except (json.JSONDecodeError, KeyError) as error:
        raise CorpusError(f"{path} has a line that is no clip ({error!r}): {line[:80]}") from error
