"""The script: what is spoken and what is described, and how long the words take.

A prompt is `<S>the words<E> a description` (Ovi's marks). The estimate counts syllables and divides them by how fast a language is spoken:
`speaking_rates.json`, which names its sources. Pure and quick, so that it can run at every key stroke.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from .text import END, START

RATES = Path(__file__).with_name("speaking_rates.json")
OTHER = "other"
ENCODER_LANGUAGES = {"nano-text": ("en",), "umt5-xxl": ("en", "zh")}
"""What models with a text encoder speak: nano-text reads a to z; UniTalking (arXiv 2603.01418) is measured in English and Mandarin,
whatever else UMT5 reads."""
HEARD_SPEECH_ALONE = ("nano-text",)
"""Text encoders of models that were trained on speech and nothing else."""
KANJI_MORAS = 1.8
TOO_MUCH, TOO_LITTLE = 1.15, 0.5
"""Of a clip's length: speakers differ from the estimate by about that much; half of it silent is worth a word."""
_HAN, _KANA, _HANGUL = r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]", r"[\u3041-\u3096\u30a1-\u30fa\u30fc]", r"[\uac00-\ud7a3]"
_SMALL_KANA = frozenset("ぁぃぅぇぉゃゅょゎァィゥェォャュョヮ")
_HINTS = {
    "de": "der die das und ist nicht ich ein eine mit sie wir auf für den dem",
    "fr": "le la les et est pas je un une des avec nous vous dans que pour",
    "es": "el la los las y es no yo un una con de en que por para muy",
    "it": "il la gli e è non io un una con di che per sono della molto",
    "en": "the a and is not i you we with of to in my it that for",
}


class ScriptError(ValueError):
    """A script that cannot be spoken; the message says why."""


@dataclass(frozen=True)
class Script:
    """What is spoken, if anything, and what is described."""

    speech: str
    description: str

    @property
    def prompt(self) -> str:
        """`<S>words<E> description`."""
        return f"{START}{self.speech}{END} {self.description}".strip()


@dataclass(frozen=True)
class Estimate:
    """How long words take, in seconds at the pace asked for; 0 seconds where there are none."""

    language: str
    words: int
    syllables: float
    seconds: float

    @property
    def counted(self) -> str:
        """ "24 words", or syllables where words are not set apart."""
        unit, count = ("syllable", round(self.syllables)) if self.language in ("ja", "zh") else ("word", self.words)
        return f"{count} {unit}{'' if count == 1 else 's'}"

    def fit(self, clip_seconds: float) -> Literal["short", "well", "long"]:
        """Whether a clip of a length is too short for the words, or much too long."""
        if self.seconds > TOO_MUCH * clip_seconds:
            return "short"
        if not self.words:
            return "well"
        return "long" if self.seconds < TOO_LITTLE * clip_seconds else "well"

    def against(self, clip_seconds: float) -> str:
        """What that means for a clip of a length."""
        if not self.words:
            return f"nothing is spoken, the clip has {clip_seconds:.1f} s"
        these, need = ("this", "needs") if self.counted.startswith("1 ") else ("these", "need")
        line = f"{these} {self.counted} {need} about {self.seconds:.1f} s, the clip has {clip_seconds:.1f} s"
        advice = {"short": ": too short, words will be rushed or cut off", "well": "", "long": ": expect long pauses"}
        return line + advice[self.fit(clip_seconds)]


def plain_description(description: str) -> str:
    """A description without marks. Raises ScriptError for one with them."""
    if START in description or END in description:
        raise ScriptError(f"the description holds {START} or {END}: spoken words belong into the speech")
    return description.strip()


def parse(speech: str, description: str = "") -> Script:
    """Speech and description kept apart; marks within the speech are understood, what follows them is description.

    Raises ScriptError for marks that do not pair, or when nothing is spoken and nothing described.
    """
    speech, description = speech.strip(), plain_description(description)
    if START in speech or END in speech:
        if speech.count(START) != 1 or speech.count(END) != 1 or speech.index(START) > speech.index(END):
            raise ScriptError(
                f"speech is marked {START}like this{END}, once; found {speech.count(START)} {START} and {speech.count(END)} {END}"
            )
        before, rest = speech.split(START)
        speech, after = rest.split(END)
        speech, description = speech.strip(), ", ".join(part for part in (before.strip(), after.strip(), description) if part)
    if not speech and not description:
        raise ScriptError("nothing is spoken: write the words, or describe a sound without any")
    return Script(speech, description)


def estimate(speech: str, language: str | None = None, pace: float = 1.0) -> Estimate:
    """How long `speech` takes in a language of `languages()` (None guesses it) at `pace` times the ordinary speed.

    Raises ScriptError for an unknown language or a pace that is not positive.
    """
    if pace <= 0:
        raise ScriptError(f"a pace is greater than 0, got {pace:g}")
    text = unicodedata.normalize("NFC", speech).lower()
    language = language or guess_language(text)
    if language not in languages():
        raise ScriptError(f"no speaking rate is known for the language '{language}'; there are {', '.join(languages())}")
    table = _table()
    about = table["languages"][language]
    counted = sum(_syllables(token, language, about) for token in re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text))
    # The last mark is followed by the end of the clip, not by a pause.
    pauses = sum(table["pauses"].get(mark, 0.0) for mark in text.rstrip(" \n.!?。！？…,;:"))
    words = len(re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text))
    seconds = counted / (about["syllables_per_second"] * table["clip_pace"]) + pauses + table["edges"] if words else 0.0
    return Estimate(language, words, counted, seconds / pace)


def languages() -> dict[str, str]:
    """Languages with a speaking rate: code -> name."""
    return {code: about["name"] for code, about in _table()["languages"].items()}


def silence_seconds() -> float:
    """Before and after the words, in all: part of every estimate."""
    return _table()["edges"]


def guess_language(text: str) -> str:
    """By the script, then by small words; Latin letters that say nothing are taken for English, other scripts for another language."""
    text = text.lower()
    if re.search(_KANA, text):
        return "ja"
    if re.search(_HAN, text):
        return "zh"
    if re.search(r"[ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", text):
        return "vi"
    if not re.search(r"[a-z]", text):
        return OTHER if re.search(r"[^\W\d_]", text) else "en"
    words = re.findall(r"[^\W\d_]+", text)
    score = {code: sum(word in hints.split() for word in words) for code, hints in _HINTS.items()}
    return max(score, key=lambda code: (score[code], code == "en"))


def limits(encoder: str, trained_seconds: float, need: Estimate, clip_seconds: float) -> list[str]:
    """What a model cannot do of what is asked: lines for people, none where all is well."""
    lines = []
    known = ENCODER_LANGUAGES.get(encoder)
    if need.words and known is not None and need.language not in known:
        spoken = " and ".join(languages()[code] for code in known)
        lines.append(f"this model speaks {spoken}, the words look like {languages()[need.language]}")
    if not need.words and encoder in HEARD_SPEECH_ALONE:
        lines.append("this model was trained on speech alone: it answers other sounds with mumbling")
    if clip_seconds > 1.25 * trained_seconds:
        lines.append(f"this model was trained on clips of {trained_seconds:.1f} s: cut the script into parts of that length")
    return lines


def _syllables(word: str, language: str, about: dict[str, Any]) -> float:
    if language == "ja":
        moras = sum(c not in _SMALL_KANA for c in re.findall(_KANA, word)) + KANJI_MORAS * len(re.findall(_HAN, word))
        return moras + _groups(re.sub(f"{_KANA}|{_HAN}", "", word), about)
    blocks = re.findall(f"{_HAN}|{_HANGUL}", word)
    if blocks:
        return len(blocks) + _groups(re.sub(f"{_HAN}|{_HANGUL}", "", word), about)
    if language == "vi" and not any(c.isdigit() for c in word):
        return 1.0
    return _groups(word, about)


def _groups(word: str, about: dict[str, Any]) -> float:
    """Vowels that stand together are one syllable; digits are read out."""
    digits = sum(c.isdigit() for c in word)
    letters = "".join(c for c in word if c.isalpha())
    if not letters:
        return about["digit"] * digits
    vowels = set(about["vowels"])
    plain = "".join(c if c in vowels else unicodedata.normalize("NFD", c)[0] for c in letters)
    count = len(re.findall(f"[{about['vowels']}]+", plain))
    for ending in sorted(about["silent_endings"], key=len, reverse=True):
        stem = plain.removesuffix(ending)
        if stem != plain and _is_silent(stem, ending, vowels):
            count -= 1
            break
    return max(1, count) + about["digit"] * digits


def _is_silent(stem: str, ending: str, vowels: set[str]) -> bool:
    """ "made", "names", "walked" lose a syllable; "the", "little", "boxes" and "wanted" do not."""
    if not any(c in vowels for c in stem) or stem[-1] in vowels:
        return False
    if ending == "e" and stem[-1] == "l" and len(stem) > 1 and stem[-2] not in vowels:
        return False
    if ending == "es" and stem.endswith(("s", "x", "z", "ch", "sh", "c", "g")):
        return False
    return not (ending == "ed" and stem[-1] in "td")


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    return json.loads(RATES.read_text(encoding="utf-8"))
