"""Word error rate: how many words must be changed to turn what an outside recogniser hears into what was asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ...tasks import Task
from ..tools import Tool
from . import Column, Columns, Figure, Read, Test, both, makes_sound, other

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["-", "-", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def number_words(number: int) -> str:
    """0 to 999999 in English words, without "and". Raises ValueError outside that."""
    if not 0 <= number < 1_000_000:
        raise ValueError(f"{number} is not between 0 and 999999")
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + ("" if number % 10 == 0 else f" {ONES[number % 10]}")
    size, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    rest = number % size
    return f"{number_words(number // size)} {name}" + (f" {number_words(rest)}" if rest else "")


def normalise(text: str) -> list[str]:
    """Lower-case words without punctuation, digits as words: "I'm 42!" -> ["i'm", "forty", "two"]."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text.lower().replace("’", "'"))
    text = re.sub(r"\d{1,6}", lambda match: f" {number_words(int(match.group()))} ", text)
    return [word for part in re.sub(r"[^a-z' ]", " ", text).split() if (word := part.strip("'"))]


def edits(wanted: Sequence[str], heard: Sequence[str]) -> int:
    """Levenshtein's distance: substitutions, insertions and deletions."""
    row = list(range(len(heard) + 1))
    for i, a in enumerate(wanted, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def snap(words: Sequence[str], vocabulary: tuple[str, ...]) -> list[str]:
    """Each word as the nearest one of the vocabulary by letters, the first of equally near ones."""
    return [_nearest(word, vocabulary) for word in words]


@lru_cache(maxsize=4096)
def _nearest(word: str, vocabulary: tuple[str, ...]) -> str:
    return min(vocabulary, key=lambda known: edits(known, word))


@dataclass(frozen=True)
class WordErrors:
    recogniser: Tool

    figures = (
        Figure(
            "word_error_rate", "errors per word", "lower",
            "edits over words asked for, all clips together; floor: what was said against another clip's words",
        ),
        Figure(
            "word_error_rate_snapped", "errors per word", "lower",
            "each heard word replaced by the nearest word of the corpus: flatters every column, shows errors of spelling apart",
        ),
    )  # fmt: skip

    @property
    def needs(self) -> tuple[Tool, ...]:
        return (self.recogniser,)

    def applies(self, task: Task) -> bool:
        return makes_sound(task)

    def measure(self, test: Test, read: Read) -> dict[str, Columns]:
        asked = [normalise(case.words) for case in test.cases]
        partners = [other(i, len(asked)) for i in range(len(asked))]
        ceiling, model = ([normalise(text or "") for text in texts] for texts in both(read, self.recogniser, test))
        return {
            figure.name: Columns(
                _column(asked, change(ceiling)),
                _column(asked, change(model)),
                _column([asked[p] for p in partners if p is not None], change(model)) if len(asked) > 1 else None,
            )
            for figure, change in zip(self.figures, (list, lambda heard: [snap(h, test.vocabulary) for h in heard]), strict=True)
        }


def _column(asked: list[list[str]], heard: list[list[str]]) -> Column:
    return Column([edits(a, h) / len(a) if a else None for a, h in zip(asked, heard, strict=True)], [len(a) for a in asked])
