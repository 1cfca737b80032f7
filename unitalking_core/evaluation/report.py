"""The report: the JSON of an evaluation as one page that opens anywhere. Nothing in it comes from a network, and no script runs in it.

The page stands in a folder with the clips it shows and the numbers it was made from: index.html, clips/, metrics.json.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from .figures import COLUMNS, MINUS, NOTHING, decimals, interval, number, shown, words
from .gallery import FOLDER, Choice, card, choose, clip_files
from .markup import Markup, definitions, join, tag
from .plots import comparison, curves, lag_histogram, lag_scale, swatch
from .published import CAVEAT, SOURCE, TABLES
from .style import STYLE
from .trials import Trial

FORMAT = "unitalking-metrics/1"
_PAGE, _NUMBERS = "index.html", "metrics.json"
_CURVES = 6
_ARROWS = {"higher": "↑ higher is better", "lower": "↓ lower is better", "zero": "→ 0 is best", "one": "→ 1 is best"}
_MEANING = {
    "ceiling": "The true clip, put through the model's own codecs and measured the same way: about the best that a model with these codecs "
    "can be expected to reach.",
    "model": "What the checkpoint makes of the same text, portrait and voice.",
    "floor": "Pairs that do not belong together, such as one clip's picture with another's sound: what comes out when nothing fits.",
}
_WHY_THREE = (
    "A talking model is only as good as its codecs allow, and some agreement comes for free. So every figure stands in three columns:"
)
_DRAWING = (
    "Below each figure is its 95 % interval over clips. In the drawing beside it better is always to the right: the shaded way from floor "
    "to model is what was learned, the way from there to the ceiling is what is left."
)
_MOUTHS = (
    "How far the mouth is open over time, before the loudness of the model's own sound. The true clip says the same sentence at its own "
    "pace unless the task gives the sound, so the two openings need not coincide; the model's opening and its sound should."
)


class ReportError(ValueError):
    """A report that cannot be written; the message says why."""


def write_report(metrics: Mapping[str, Any], work: Path, out: Path) -> Path:
    """Write the report into the folder `out`, whole or not at all, and return its page.

    metrics: the JSON of an evaluation, format "unitalking-metrics/1". work: the folder that its clips' files are relative to.
    out: a new or empty folder, or one with an earlier report, which is replaced.
    Raises ReportError for another format, a clip whose file is missing or outside `work`, and a folder with other things in it.
    """
    if metrics.get("format") != FORMAT:
        raise ReportError(f"metrics of format {metrics.get('format')!r} cannot be shown: {FORMAT!r} is needed")
    out = Path(out).absolute()
    if out.exists() and (not out.is_dir() or {entry.name for entry in out.iterdir()} - {_PAGE, _NUMBERS, FOLDER}):
        raise ReportError(f"{out} holds other things than a report: name a new folder")
    try:
        choices = {task: choose(clips, metrics["tasks"].get(task, {})) for task, clips in metrics.get("clips", {}).items()}
        page = _page(metrics, choices)
        files = {path for choice in choices.values() for _, clip in choice.clips for path in clip_files(clip).values()}
    except ValueError as error:
        raise ReportError(str(error)) from error
    missing = sorted(str(path) for path in files if not (work / path).is_file())
    if missing:
        raise ReportError(f"{len(missing)} of the clips to show are not in {work}, first {missing[0]}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        made = Path(folder) / "report"
        made.mkdir()
        (made / _PAGE).write_text(page, encoding="utf-8")
        (made / _NUMBERS).write_text(json.dumps(metrics, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for path in files:
            target = made / FOLDER / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(work / path, target)
        if out.exists():
            shutil.rmtree(out)
        made.replace(out)
    return out / _PAGE


def _page(metrics: Mapping[str, Any], choices: Mapping[str, Choice]) -> str:
    name = str(metrics["checkpoint"].get("name") or metrics["checkpoint"]["file"])
    sections = [
        ("reading", "How to read this", _reading()),
        ("results", "Results", [_results(task, table) for task, table in metrics["tasks"].items()]),
        ("lags", "Lag of the lips", [_lags(task, lags) for task, lags in metrics.get("lags", {}).items()]),
        ("curves", "Mouth and sound", list(_curves(metrics.get("curves", {})))),
        ("clips", "Clips", [_clips(task, choice) for task, choice in choices.items()]),
        ("published", "What the paper reports", _published()),
        ("how", "How it was measured", _how(metrics)),
    ]
    filled = [(key, title, content) for key, title, content in sections if content]
    body = join(
        tag("header", tag("h1", f"How well {name} talks"), tag("p", _summary(metrics), class_="soft"), _facts(metrics)),
        tag("nav", [tag("a", title, href=f"#{key}") for key, title, _ in filled], aria_label="sections"),
        tag("main", [tag("section", tag("h2", title), content, id=key) for key, title, content in filled]),
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; media-src 'self' file:"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("title", f"UniTalking: evaluation of {name}"),
        tag("style", Markup(STYLE)),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", body), lang="en") + "\n"


def _summary(metrics: Mapping[str, Any]) -> str:
    clips, tasks = len(metrics["test"].get("clips", [])), len(metrics["tasks"])
    return f"{clips} held-out clips, {tasks} {'task' if tasks == 1 else 'tasks'}; every figure beside a ceiling and a floor."


def _facts(metrics: Mapping[str, Any]) -> Markup:
    checkpoint, test = metrics["checkpoint"], metrics["test"]
    counts = ", ".join(f"{count} {words(key)}" for key, count in (test.get("counts") or {}).items())
    facts = [
        ("Checkpoint", tag("code", str(checkpoint["file"]))),
        ("its SHA-256", tag("code", str(checkpoint["sha256"]))),
        ("Test set", counts or f"{len(test.get('clips', []))} clips"),
        ("its manifest's SHA-256", tag("code", str(test["manifest_sha256"]))),
        ("All numbers", tag("a", _NUMBERS, href=_NUMBERS)),
    ]
    return definitions(facts)


def _reading() -> Markup:
    return join(
        tag("p", _WHY_THREE),
        tag("ul", [tag("li", tag("strong", swatch(column), column), _MEANING[column]) for column in COLUMNS], class_="key"),
        tag("p", _DRAWING),
    )


def _results(task: str, table: Mapping[str, Mapping[str, Any]]) -> Markup:
    plot = tag("th", tag("span", tag("span", "worse"), tag("span", "better")), class_="plot")
    head = tag("tr", tag("th", "Measure"), [tag("th", column.capitalize()) for column in COLUMNS], plot)
    rows = [tag("tr", tag("th", _measure(key, metric), scope="row"), _cells(metric)) for key, metric in table.items()]
    return join(tag("h3", task, tag("small", _about(task))), tag("table", tag("thead", head), tag("tbody", rows), class_="figures"))


def _about(task: str) -> str:
    """A trial in words; nothing for a name that is none."""
    try:
        return Trial.of(task).about()
    except ValueError:
        return ""


def _measure(key: str, metric: Mapping[str, Any]) -> Markup:
    counts = {figure["n"] for column in COLUMNS if (figure := metric.get(column))}
    clips = f"{counts.pop()} clips" if len(counts) == 1 else ""
    about = " · ".join(
        str(part) for part in (metric.get("unit"), _ARROWS.get(str(metric.get("better"))), metric.get("tool"), clips) if part
    )
    return join(words(key), tag("small", about), tag("small", str(metric["note"])) if metric.get("note") and _measured(metric) else "")


def _measured(metric: Mapping[str, Any]) -> bool:
    return any(number((metric.get(column) or {}).get("value")) is not None for column in COLUMNS)


def _cells(metric: Mapping[str, Any]) -> Markup:
    if not _measured(metric):
        return tag("td", str(metric.get("missing") or metric.get("note") or "not measured"), class_="missing", colspan=4)
    figures = [metric.get(column) or {} for column in COLUMNS]
    places = decimals([number(figure.get(key)) for figure in figures for key in ("value", "low", "high")])
    differ = len({figure.get("n") for figure in figures if figure}) > 1
    cells = []
    for column, figure in zip(COLUMNS, figures, strict=True):
        bounds = interval(figure)
        between = NOTHING if bounds is None else f"{shown(bounds[0], places)} to {shown(bounds[1], places)}"
        below = [tag("small", between), tag("small", f"{figure['n']} clips") if differ else ""] if figure else []
        cells.append(tag("td", shown(number(figure.get("value")), places), below, class_=f"figure {column}", data_column=column))
    return join(cells, tag("td", comparison(metric), class_="plot"))


def _lags(task: str, lags: Mapping[str, Sequence[Any]]) -> Markup:
    present: dict[str, Sequence[Any]] = {column: lags[column] for column in COLUMNS if lags.get(column)}
    reach, tallest = lag_scale(present)
    panels = []
    for column, values in present.items():
        known = sorted(lag for value in values if (lag := number(value)) is not None)
        near = f"{100 * sum(abs(lag) <= 1 for lag in known) / len(known):.0f} %" if known else NOTHING
        middle = f"{median(known):g}".replace("-", MINUS) if known else NOTHING
        text = f"{near} within one frame, median {middle}; {len(known)} of {len(values)} clips"
        plot = lag_histogram(values, column, reach, tallest)
        panels.append(tag("figure", tag("h4", swatch(column), column), plot, tag("p", tag("small", text)), class_="panel"))
    return join(
        tag("h3", task),
        tag(
            "p", "Frames by which the picture is late against its own sound (negative: early), one count a clip. Shaded: at most one frame."
        ),
        tag("div", panels, class_="panels"),
    )


def _curves(tasks: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Markup]:
    if any(tasks.values()):
        yield tag("p", _MOUTHS)
        names = (("curve model", "opening, model"), ("curve ceiling", "opening, truth"), ("sound", "loudness of the model's sound"))
        yield tag("p", [tag("span", swatch(column), name) for column, name in names], class_="legend")
    for task, found in tasks.items():
        figures = [
            tag("figure", tag("h4", tag("code", str(curve.get("id", "")))), curves(curve), class_="panel") for curve in found[:_CURVES]
        ]
        if figures:
            note = f"The first {len(figures)} that were recorded, in the order of the test set; not selected."
            yield join(tag("h3", task), tag("p", tag("small", note)), tag("div", figures, class_="panels wide"))


def _clips(task: str, choice: Choice) -> Markup:
    if not choice.clips:
        return Markup("")
    if choice.measure is None:
        how = f"The first {len(choice.clips)} of {choice.ranked} clips that were kept, in the order of the test set."
    else:
        how = f"Best, median and worst by {words(choice.measure)} among the {choice.ranked} clips that were kept; nobody picked them."
    return join(tag("h3", task), tag("p", how), tag("div", [card(rank, clip) for rank, clip in choice.clips], class_="panels wide"))


def _published() -> Markup:
    arrows = {"higher": " ↑", "lower": " ↓"}
    panels = []
    for table in TABLES:
        head = tag("tr", tag("th", "System"), [tag("th", name + arrows[better]) for name, better in table.columns])
        rows = []
        for name, values in table.rows.items():
            places = decimals([value for row in table.rows.values() for value in row])
            cells = [tag("td", shown(value, places)) for value in values]
            rows.append(tag("tr", tag("th", name, scope="row"), cells, class_="ours" if name == "UniTalking" else None))
        about = tag("p", tag("small", f"{table.task.capitalize()}. {table.note}"))
        panels.append(
            tag("div", tag("h4", table.title), tag("table", tag("thead", head), tag("tbody", rows)), about, class_="panel published")
        )
    source = tag("p", tag("small", f"Source: {SOURCE}."))
    return join(tag("p", CAVEAT, class_="caution"), tag("div", panels, class_="panels"), source)


def _how(metrics: Mapping[str, Any]) -> list[Markup]:
    parts = []
    for title, values in (("Tools", metrics.get("tools")), ("Settings", metrics.get("settings"))):
        if values:
            parts.append(join(tag("h3", title), definitions((key, tag("code", value)) for key, value in _flat(values))))
    return parts


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{words(key)}, ")
        else:
            yield prefix + words(key), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
