"""Word errors of known strings."""

from __future__ import annotations

import pytest

from unitalking_core.evaluation.metrics.words import edits, normalise, number_words, snap


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (42, "forty two"),
        (300, "three hundred"),
        (517, "five hundred seventeen"),
        (2026, "two thousand twenty six"),
        (120_000, "one hundred twenty thousand"),
    ],
)
def test_numbers_as_words(number: int, words: str) -> None:
    assert number_words(number) == words


def test_numbers_that_are_too_large_are_refused() -> None:
    with pytest.raises(ValueError, match="1000000"):
        number_words(1_000_000)


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        (" The man reads, behind the hill.", ["the", "man", "reads", "behind", "the", "hill"]),
        ("3 brown bears!", ["three", "brown", "bears"]),
        ("I’m 42", ["i'm", "forty", "two"]),
        ("1,200 'cups'", ["one", "thousand", "two", "hundred", "cups"]),
        ("...", []),
    ],
)
def test_what_is_heard_becomes_plain_words(heard: str, words: list[str]) -> None:
    assert normalise(heard) == words


@pytest.mark.parametrize(
    ("wanted", "heard", "count"),
    [
        ("the cat sings", "the cat sings", 0),
        ("the cat sings", "the bat sings", 1),
        ("the cat sings", "cat sings now", 2),
        ("the cat sings", "", 3),
        ("", "a b", 2),
    ],
)
def test_edits(wanted: str, heard: str, count: int) -> None:
    assert edits(wanted.split(), heard.split()) == count


def test_words_snap_to_the_nearest_of_the_vocabulary() -> None:
    assert snap(["bares", "cat"], ("bears", "cat", "horse")) == ["bears", "cat"]
