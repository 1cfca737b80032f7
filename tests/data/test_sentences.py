"""The grammar: deterministic, short, and with disjoint splits that still share their words."""

import random

import pytest

from unitalking_core.data.sentences import CONJUNCTION, MAX_WORDS, MIN_WORDS, SPLITS, VOCABULARY, draw, split_of


def _many(split: str, count: int = 1500, seed: int = 7) -> list[str]:
    rng = random.Random(seed)
    return [draw(rng, split) for _ in range(count)]


def test_the_same_seed_gives_the_same_sentences() -> None:
    assert _many("train", 50) == _many("train", 50)
    assert _many("train", 50) != _many("train", 50, seed=8)


def test_splits_are_disjoint_and_a_property_of_the_text() -> None:
    drawn = {split: set(_many(split)) for split in SPLITS}
    assert not drawn["train"] & drawn["heldout"]
    assert not drawn["train"] & drawn["voice"]
    assert not drawn["heldout"] & drawn["voice"]
    for split, sentences in drawn.items():
        assert {split_of(sentence.upper()) for sentence in sentences} == {split}


def test_sentences_are_short_and_use_the_whole_vocabulary() -> None:
    sentences = _many("train", 6000)
    long = draw(random.Random(0), "train", clauses=2).split(f" {CONJUNCTION} ")
    assert [split_of(clause) for clause in long] == ["train", "train"]
    assert {len(sentence.split()) for sentence in sentences} <= set(range(MIN_WORDS, MAX_WORDS + 1))
    assert {word for sentence in sentences for word in sentence.split()} | {CONJUNCTION} == set(VOCABULARY)
    assert len(VOCABULARY) >= 120


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="'test'"):
        draw(random.Random(0), "test")
