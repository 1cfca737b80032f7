"""A corpus is the one of a test manifest, or the difference is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unitalking_core.evaluation.manifest import check_same, digest, write_test_manifest
from unitalking_core.training.corpus import CorpusError


def corpus(folder: Path, *clips: dict) -> Path:
    folder.mkdir()
    (folder / "manifest.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    return folder


def clip(number: int, **values: object) -> dict:
    return {"id": f"heldout-{number}", "split": "heldout", "words": "hello", **values}


TRAIN = {"id": "train-0", "split": "train", "words": "other"}


def test_training_clips_do_not_matter(tmp_path: Path) -> None:
    first = corpus(tmp_path / "a", clip(0), TRAIN, clip(1))
    second = corpus(tmp_path / "b", clip(0), clip(1), {**TRAIN, "id": "train-7"})
    assert write_test_manifest(first, tmp_path / "test.jsonl") == 2
    check_same(second, tmp_path / "test.jsonl")
    assert digest(first) == digest(second)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ((clip(0), clip(1, words="bye")), "heldout-1 .* words differ"),
        ((clip(0), clip(2)), "heldout-2 where test.jsonl has heldout-1"),
        ((clip(0),), "has 1 held-out clips, test.jsonl has 2; .* heldout-1"),
        ((clip(0), clip(1), clip(2)), "has 3 held-out clips, test.jsonl has 2; .* heldout-2"),
    ],
)
def test_the_first_difference_is_named(tmp_path: Path, clips: tuple[dict, ...], message: str) -> None:
    write_test_manifest(corpus(tmp_path / "a", clip(0), clip(1)), tmp_path / "test.jsonl")
    with pytest.raises(CorpusError, match=message):
        check_same(corpus(tmp_path / "b", *clips), tmp_path / "test.jsonl")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"manifest\.jsonl"):
        digest(tmp_path)
    with pytest.raises(CorpusError, match="no such test manifest"):
        check_same(corpus(tmp_path / "a", clip(0)), tmp_path / "nothing.jsonl")
