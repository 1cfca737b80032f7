"""The clips that a report shows: chosen by rank, not by taste, and drawn as a pair of the model's clip and its ceiling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from ..conditions.text import END, START
from .figures import COLUMNS, decimals, number, shown, words
from .markup import Markup, definitions, tag
from .plots import swatch

EACH = 2
"""How many of the best, of the median and of the worst."""
PREFERRED = ("sync_cues", "sync_energy")
"""Values to rank by before others."""

FOLDER = "clips"
_SOUNDS = {".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a"}
_NOT_VALUES = {"id", "text", "words", "files"}


@dataclass(frozen=True)
class Choice:
    """clips: (what each stands for, the clip). ranked: of so many. measure: by which value, None if the clips carry none that is better
    higher or lower; then the first ones stand here, in the order of the test set.
    """

    clips: tuple[tuple[str, Mapping[str, Any]], ...]
    ranked: int
    measure: str | None


def choose(clips: Sequence[Mapping[str, Any]], metrics: Mapping[str, Mapping[str, Any]]) -> Choice:
    """Best, median and worst of the clips whose files were kept: by how well lips follow the sound where they carry that, else by the
    first metric, in the order of the JSON, that is better higher or lower and that they carry.
    """
    kept = [clip for clip in clips if clip.get("files")]
    for key in (*PREFERRED, *metrics):
        better = metrics.get(key, {}).get("better")
        rated = [(value, clip) for clip in kept if (value := _model_value(clip.get(key))) is not None]
        if rated and better in ("higher", "lower"):
            rated.sort(key=lambda pair: (-pair[0] if better == "higher" else pair[0], str(pair[1].get("id"))))
            return Choice(_ends_and_middle([clip for _, clip in rated]), len(rated), key)
    return Choice(tuple(("", clip) for clip in kept[: 3 * EACH]), len(kept), None)


def _ends_and_middle(ranked: list[Mapping[str, Any]]) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    count = len(ranked)
    first = (count - EACH) // 2
    places = [*range(EACH), *range(first, first + EACH), *range(count - EACH, count)]
    names = ["best"] * EACH + ["median"] * EACH + ["worst"] * EACH
    if count < 3 * EACH:
        places, names = list(range(count)), [""] * count
    return tuple((f"{name} · {place + 1} of {count}".removeprefix(" · "), ranked[place]) for name, place in zip(names, places, strict=True))


def clip_files(clip: Mapping[str, Any]) -> dict[str, PurePosixPath]:
    """Column -> file, relative to the folder of the evaluation. Raises ValueError for a path that leads out of it."""
    files = {}
    for column, name in (clip.get("files") or {}).items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise ValueError(f"clip {clip.get('id')}: its file '{name}' is not a path inside the folder of the evaluation")
        files[column] = path
    return files


def card(rank: str, clip: Mapping[str, Any]) -> Markup:
    """A clip: pictures, what is said, its numbers."""
    said, scene = _said(str(clip.get("text") or clip.get("words") or ""))
    files = clip_files(clip)
    shown_files = [(column, files[column]) for column in ("model", "ceiling") if column in files]
    only_sound = all(path.suffix.lower() in _SOUNDS for _, path in shown_files)
    return tag(
        "article",
        tag("h4", tag("code", str(clip.get("id", ""))), tag("span", rank, class_="rank")),
        tag("div", [_player(column, path) for column, path in shown_files], class_="pair sounds" if only_sound else "pair"),
        tag("blockquote", f"“{said}”") if said else "",
        tag("small", scene) if scene else "",
        definitions((words(key), text) for key, text in _values(clip)),
        class_="clip",
    )


def _player(column: str, path: PurePosixPath) -> Markup:
    source = quote(f"{FOLDER}/{path}")
    if path.suffix.lower() in _SOUNDS:
        player = tag("audio", src=source, controls=True, preload="none")
    else:
        player = tag("video", src=f"{source}#t=0.001", controls=True, playsinline=True, preload="metadata")
    return tag("figure", player, tag("figcaption", swatch(column), column))


def _said(text: str) -> tuple[str, str]:
    """A prompt -> what is said in it, and the rest; all of it where nothing is marked as said."""
    if START not in text or END not in text:
        return text.strip(), ""
    before, _, rest = text.partition(START)
    said, _, after = rest.partition(END)
    return said.strip(), " ".join(f"{before} {after}".split())


def _model_value(value: object) -> float | None:
    return number(value.get("model")) if isinstance(value, Mapping) else number(value)


def _values(clip: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What else a clip carries: numbers and texts; of a value per column the model's with the others behind it."""
    found: list[tuple[str, str]] = []
    for key, value in clip.items():
        if key in _NOT_VALUES:
            continue
        if isinstance(value, Mapping):
            known = {column: known for column in COLUMNS if (known := number(value.get(column))) is not None}
            places = decimals(list(known.values()))
            others = ", ".join(f"{column} {shown(known[column], places)}" for column in ("ceiling", "floor") if column in known)
            if known:
                found.append((key, tag("span", shown(known.get("model"), places), tag("small", f"  {others}") if others else "")))
        elif (one := number(value)) is not None:
            found.append((key, shown(one, decimals([one]))))
        elif isinstance(value, bool):
            found.append((key, "yes" if value else "no"))
        elif isinstance(value, str) and value:
            found.append((key, value))
    return found
