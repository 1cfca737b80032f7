"""Scripts longer than a clip: cut where a speaker pauses, and lines of several speakers told apart by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .script import ScriptError, estimate, guess_language, parse

BORDERS = (
    r"\n+|(?<=[.!?…])\s+|(?<=[。！？])",  # sentences
    r"(?<=[,;:—])\s+|(?<=[，、；：])",  # clauses
    r"\s+",  # words
    r"(?<=[\u3041-\u30ff\u3400-\u9fff])",  # characters, where words are not set apart
)
NO_SPACE = r"[\u3001-\u30ff\u3400-\u9fff\uff01-\uff1f]"
LABEL = re.compile(r"^\s*([^\W\d_][\w.-]{0,19})\s*[:：]\s*(.*)$")


@dataclass(frozen=True)
class Line:
    """What one person, counted from 0, says at a stretch."""

    speaker: int
    speech: str


def cut(speech: str, longest_seconds: float, language: str | None = None, pace: float = 1.0) -> list[str]:
    """Parts of a script that each take at most `longest_seconds`, by the estimate of `script.estimate`.

    Cut between sentences, inside one that is too long between clauses, and only then between words; short sentences stay together. A word
    that is longer alone stays whole. Raises ScriptError when nothing is spoken, or for an unknown language.
    """
    speech = re.sub(r"[^\S\n]+", " ", speech).strip()
    if not speech:
        raise ScriptError("nothing is spoken: write the words")
    language = language or guess_language(speech)

    def fits(text: str) -> bool:
        return estimate(text, language, pace).seconds <= longest_seconds

    return _cut(speech, fits, BORDERS)


def _cut(text: str, fits: Callable[[str], bool], borders: Sequence[str]) -> list[str]:
    if fits(text) or not borders:
        return [re.sub(r"\s+", " ", text)]
    parts: list[str] = []
    together = ""
    for piece in (p.strip() for p in re.split(borders[0], text)):
        if not piece:
            continue
        longer = together + ("" if not together or re.match(NO_SPACE, together[-1]) else " ") + piece
        if fits(longer):
            together = longer
            continue
        parts += [together] if together else []
        together = piece if fits(piece) else ""
        parts += [] if together else _cut(piece, fits, borders[1:])
    return [*parts, together] if together else parts


def dialogue(script: str, people: int = 2) -> tuple[list[Line], list[str]]:
    """Lines such as "A: hello" in their order, and the names by number; a line without a name goes on with the last speaker.

    "A" and "B", or "a" and "b", are the first and the second person; names beside them take the places that are left, as they appear. Words
    may stand in a prompt's marks. Raises ScriptError for a script that begins without a name, has more people, or says nothing.
    """
    found: list[tuple[str, str]] = []
    for row in script.splitlines():
        match = LABEL.match(row)
        if match:
            found.append((match[1], match[2].strip()))
        elif row.strip():
            if not found:
                raise ScriptError(
                    f'nobody says "{row.strip()[:40]}": begin lines with the speaker, such as "A: hello" and "B: good morning"'
                )
            found[-1] = (found[-1][0], f"{found[-1][1]}\n{row.strip()}".strip())
    letters = [chr(ord("A") + i) for i in range(people)]
    found = [(name.upper() if name.upper() in letters else name, _words(words)) for name, words in found if words]
    if not found:
        raise ScriptError('nothing is spoken: write lines such as "A: hello" and "B: good morning"')
    spoken = list(dict.fromkeys(name for name, _ in found))
    if len(spoken) > people:
        raise ScriptError(
            f"{len(spoken)} people speak ({', '.join(spoken)}); there are {people} portraits. A word and a colon at the beginning of "
            "a line are taken for a name"
        )
    others = iter([name for name in spoken if name not in letters])
    names = [letter if letter in spoken else next(others, letter) for letter in letters]
    return [Line(names.index(name), words) for name, words in found], names


def _words(spoken: str) -> str:
    """A line's words, out of the marks of a prompt where they stand in them. Raises ScriptError for a description beside them."""
    script = parse(spoken)
    if script.description:
        raise ScriptError(f'"{script.description[:40]}" stands beside the spoken words of a line; descriptions have inputs of their own')
    return script.speech
