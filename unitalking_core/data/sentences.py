"""Short natural sentences for the synthetic corpus: a small grammar over about 200 words, drawn from a random generator.

A sentence is lower-case words without punctuation, three to six of them, so that it takes about two seconds to say. Which split a
sentence belongs to is a property of its text (a hash), never of the order in which it was drawn: "train", "heldout", or "voice" (heard
only in reference recordings). Two processes, two seeds or two corpora therefore never disagree about what was held out.
"""

from __future__ import annotations

import hashlib
import random

SPLITS = ("train", "heldout", "voice")
HELDOUT_PERCENT = 8
VOICE_PERCENT = 8
MIN_WORDS = 3
MAX_WORDS = 6

_LISTS = {
    "adjective": (
        "red blue green little old young happy quiet warm cold bright golden white brown small big kind brave sleepy funny purple "
        "pretty tall silver"
    ),
    "being": (
        "bird cat dog horse fox bear child boy girl woman man teacher farmer baker sailor doctor mother father brother sister "
        "king queen rabbit penguin pony mouse"
    ),
    "does": "sings sleeps runs jumps laughs smiles waits walks plays dances swims reads talks works",
    "do": "sing sleep run jump laugh smile wait walk play dance swim read talk work",
    "handles": "sees finds likes wants brings makes buys paints loves keeps",
    "handle": "see find like want bring make buy paint love keep",
    "thing": ("bread apple book ball boat map flower lamp paper coffee butter money window table picture box movie piano cup"),
    "preposition": "by in near behind above",
    "place": "river garden sea hill bridge forest city kitchen school market mountain beach room park",
    "time": "today tonight now again tomorrow together outside here alone",
    "who": "i we you they",
    "my": "my your our her his",
    "number": "two three four five seven nine",
    "beings": "birds cats dogs horses foxes bears boys girls friends farmers people",
    "feeling": "happy tired hungry ready sorry lucky famous beautiful wonderful",
    "subject": "music weather water morning evening summer winter story dinner",
}
WORDS: dict[str, tuple[str, ...]] = {name: tuple(words.split()) for name, words in _LISTS.items()}

# A lower-case part of a rule is a word of its own; {name} is a word drawn from WORDS[name]. The number is the rule's share.
RULES: tuple[tuple[int, str], ...] = (
    (6, "the {adjective} {being} {does} {time}"),
    (6, "the {being} {does} {preposition} the {place}"),
    (5, "{my} {being} {handles} the {adjective} {thing}"),
    (5, "the {being} {handles} {my} {thing}"),
    (4, "{who} {handle} the {adjective} {thing}"),
    (4, "{who} {do} {preposition} the {place}"),
    (3, "{number} {adjective} {beings} {do} {time}"),
    (3, "please {handle} me a {thing}"),
    (2, "where is {my} {adjective} {thing}"),
    (2, "why does the {being} {do}"),
    (2, "{my} {subject} was {feeling} {time}"),
    (2, "the {subject} is very {feeling}"),
    (2, "{who} will {do} {time}"),
    (2, "can you {handle} {my} {thing}"),
    (1, "good morning {my} {adjective} {being}"),
    (1, "maybe {who} {do} {time}"),
    (1, "let us {do} {preposition} the {place}"),
    (1, "thank you for the {thing}"),
)

_FIXED = frozenset(word for _, rule in RULES for word in rule.split() if not word.startswith("{"))
CONJUNCTION = "and"
VOCABULARY = tuple(sorted(_FIXED.union({CONJUNCTION}, *WORDS.values())))


def split_of(sentence: str) -> str:
    """The split a sentence of one clause belongs to, one of SPLITS; it depends on the text alone."""
    share = int.from_bytes(hashlib.sha256(" ".join(sentence.lower().split()).encode()).digest()[:4], "big") % 100
    if share < HELDOUT_PERCENT:
        return "heldout"
    return "voice" if share < HELDOUT_PERCENT + VOICE_PERCENT else "train"


def _expand(rng: random.Random) -> str:
    rule = rng.choices([text for _, text in RULES], [share for share, _ in RULES])[0]
    return " ".join(rng.choice(WORDS[part[1:-1]]) if part.startswith("{") else part for part in rule.split())


def draw(rng: random.Random, split: str, clauses: int = 1) -> str:
    """One sentence of `split`, lower case; the same generator state gives the same sentence. Raises ValueError for an unknown split.

    With more clauses, that many sentences of the split joined by "and": none of them is ever heard in another split.
    """
    return f" {CONJUNCTION} ".join(_draw_clause(rng, split) for _ in range(clauses))


def _draw_clause(rng: random.Random, split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"sentence split {split!r} is unknown; choose one of {', '.join(SPLITS)}")
    while True:
        sentence = _expand(rng)
        words = sentence.split()
        if split_of(sentence) == split and len(set(words)) >= len(words) - 1:
            return sentence
