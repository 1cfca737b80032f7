"""The report: what it says is in the JSON, nothing of the JSON can become markup, and it needs nothing but its own folder."""

from __future__ import annotations

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from unitalking_core.evaluation import published
from unitalking_core.evaluation.figures import MINUS, decimals, shown
from unitalking_core.evaluation.gallery import choose
from unitalking_core.evaluation.markup import join, tag
from unitalking_core.evaluation.plots import comparison, curves, lag_histogram, lag_scale
from unitalking_core.evaluation.report import ReportError, write_report

_spec = importlib.util.spec_from_file_location("example_metrics", Path(__file__).parent / "example_metrics.py")
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
example = _module.example

VOID = {"meta", "br"}


class Page(HTMLParser):
    """A page taken apart; fails where elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for element, attributes in self.elements if element == name]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    for clip in example()["clips"]["TIR2AV"]:
        for name in clip["files"].values():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(name.encode())
    return folder


def written(metrics: dict[str, Any], work: Path, out: Path) -> Page:
    return Page(write_report(metrics, work, out).read_text(encoding="utf-8"))


def test_the_folder_is_whole_and_sends_for_nothing(work: Path, tmp_path: Path) -> None:
    metrics = example()
    out = tmp_path / "deep" / "report"
    page = written(metrics, work, out)
    names = {element for element, _ in page.elements}
    assert not names & {"script", "link", "iframe", "img", "object", "embed", "base"}
    assert "default-src 'none'" in next(meta["content"] or "" for meta in page.all("meta") if "http-equiv" in meta)
    style = (out / "index.html").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style
    sources = [attributes[key] or "" for _, attributes in page.elements for key in ("src", "href") if key in attributes]
    for source in sources:
        assert urlsplit(source).scheme == urlsplit(source).netloc == ""
        if path := unquote(urlsplit(source).path):
            assert (out / path).is_file()
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {source[1:] for source in sources if source.startswith("#")} <= ids
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert json.loads((out / "metrics.json").read_text(encoding="utf-8")) == metrics


def test_only_the_clips_shown_are_copied(work: Path, tmp_path: Path) -> None:
    page = written(example(), work, tmp_path / "report")
    copied = {path.relative_to(tmp_path / "report" / "clips").as_posix() for path in (tmp_path / "report" / "clips").rglob("*.mp4")}
    assert copied == {unquote(urlsplit(video["src"] or "").path).removeprefix("clips/") for video in page.all("video")}
    assert len(copied) == 12
    assert all((tmp_path / "report" / "clips" / name).read_bytes() == name.encode() for name in copied)


def test_every_text_of_the_json_is_escaped(work: Path, tmp_path: Path) -> None:
    """A hostile string in every place that holds text: keys, values, names of tasks. It must appear as text and never as an element."""
    hostile = "<img src=x onerror=alert(1)>\"'&"

    def poison(value: Any, key: str = "") -> Any:
        if key in ("files", "format", "better"):
            return value
        if isinstance(value, dict):
            return {k: poison(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [poison(v) for v in value]
        return hostile + value if isinstance(value, str) else value

    metrics = poison(example())
    for section in ("tasks", "clips", "curves", "lags"):
        metrics[section][hostile] = metrics[section].pop("TIR2AV")
    metrics["tasks"][hostile][hostile] = metrics["tasks"][hostile]["speech_quality"]
    metrics["settings"][hostile] = {hostile: 1}
    metrics["tools"][hostile] = "1"
    metrics["test"]["counts"][hostile] = 3
    metrics["clips"][hostile][0][hostile] = hostile
    page = written(metrics, work, tmp_path / "report")
    assert not page.all("img")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.text.count(hostile) > 50
    assert "&lt;d" not in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")  # nothing of ours was escaped instead


def test_figures_stand_in_their_columns(work: Path, tmp_path: Path) -> None:
    metrics = example()
    metrics["tasks"]["TIR2AV"] = {
        "word_error_rate": {
            "unit": "fraction",
            "better": "lower",
            "tool": "whisper",
            "note": "all clips",
            "ceiling": {"value": 0.04, "low": 0.03, "high": 0.05, "n": 200},
            "model": {"value": 0.1234, "low": -0.1, "high": 0.15, "n": 199},
            "floor": None,
        }
    }
    text = written(metrics, work, tmp_path / "report").text
    assert (
        f"word error rate fraction · ↓ lower is better · whisper all clips 0.040 0.030 to 0.050 200 clips 0.123 {MINUS}0.100 to 0.150"
        in text
    )


def test_what_was_not_measured_says_why(work: Path, tmp_path: Path) -> None:
    metrics = example()
    empty = {"unit": "cosine", "better": "higher", "tool": "x", "note": "not measured: resemblyzer is absent"}
    metrics["tasks"]["TIR2AV"] = {
        "speaker_similarity": {**empty, "ceiling": None, "model": None, "floor": None},
        "sync_c": {"unit": "", "better": "higher", "missing": "not measured: no weights were given"},
    }
    text = written(metrics, work, tmp_path / "report").text
    assert text.count("not measured: resemblyzer is absent") == 1
    assert text.count("not measured: no weights were given") == 1


def test_the_gallery_is_ranked_not_picked() -> None:
    clips = [{"id": f"{i:02d}", "files": {"model": "a.mp4"}, "wer": value} for i, value in enumerate([5, 3, 9, 1, 7, 0, 8, 2, 6, 4])]
    clips.append({"id": "unkept", "wer": -1})
    choice = choose(clips, {"note": {"better": None}, "wer": {"better": "lower"}})
    assert (choice.measure, choice.ranked) == ("wer", 10)
    assert [(rank, clip["wer"]) for rank, clip in choice.clips] == [
        *(("best · 1 of 10", 0), ("best · 2 of 10", 1)),
        *(("median · 5 of 10", 4), ("median · 6 of 10", 5)),
        *(("worst · 9 of 10", 8), ("worst · 10 of 10", 9)),
    ]
    higher = choose(clips, {"wer": {"better": "higher"}})
    assert [clip["wer"] for _, clip in higher.clips] == [9, 8, 5, 4, 1, 0]


def test_lips_come_before_other_measures_and_few_clips_are_all_shown() -> None:
    clips = [{"id": str(i), "files": {"model": "a.mp4"}, "wer": i, "sync_cues": {"model": i}} for i in range(4)]
    choice = choose(clips, {"wer": {"better": "lower"}, "sync_cues": {"better": "higher"}})
    assert choice.measure == "sync_cues"
    assert [(rank, clip["id"]) for rank, clip in choice.clips] == [("1 of 4", "3"), ("2 of 4", "2"), ("3 of 4", "1"), ("4 of 4", "0")]
    unranked = choose(clips, {})
    assert (unranked.measure, [clip["id"] for _, clip in unranked.clips]) == (None, ["0", "1", "2", "3"])


def test_a_clip_of_sound_alone_gets_a_player_of_sound(tmp_path: Path) -> None:
    metrics = example(kept=0)
    (tmp_path / "T2A").mkdir()
    (tmp_path / "T2A" / "a b.wav").write_bytes(b"sound")
    metrics["clips"]["T2A"] = [{"id": "one", "words": "hello there", "word_error_rate": 0.5, "files": {"model": "T2A/a b.wav"}}]
    page = written(metrics, tmp_path, tmp_path / "report")
    assert [audio["src"] for audio in page.all("audio")] == ["clips/T2A/a%20b.wav"]
    assert not page.all("video")
    assert "“hello there”" in page.text
    assert "given text, voice where there is one; made sound" in page.text


def test_a_report_is_replaced_but_nothing_else_is(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    write_report(example(), work, out)
    write_report(example(kept=0), work, out)
    assert not (out / "clips").exists()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(ReportError, match="holds other things"):
        write_report(example(), work, out)
    assert (out / "mine.txt").read_text() == "keep"
    with pytest.raises(ReportError, match="holds other things"):
        write_report(example(), work, out / "mine.txt")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_bad_input_is_refused_by_name(work: Path, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="'other/2' cannot be shown"):
        write_report({**example(), "format": "other/2"}, work, tmp_path / "report")
    for path in ("../secret.mp4", "/etc/passwd", "a\\..\\b.mp4"):
        metrics = example()
        for clip in metrics["clips"]["TIR2AV"]:
            clip["files"] = {"model": path}
        with pytest.raises(ReportError, match="is not a path inside the folder"):
            write_report(metrics, work, tmp_path / "report")
    (work / "clips" / "test-0012.mp4").unlink()
    for clip in (metrics := example())["clips"]["TIR2AV"]:
        clip["files"] = {"model": "clips/test-0012.mp4"}
    with pytest.raises(ReportError, match=r"first clips/test-0012\.mp4"):
        write_report(metrics, work, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def at(drawing: str, column: str) -> float:
    """Where a column's mark stands."""
    found = re.search(rf'class="mark {column}" (?:x1|cx)="([\d.]+)"', drawing)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize(
    ("better", "ceiling", "model", "floor"),
    [("higher", 10.0, 7.5, 0.0), ("lower", 0.0, 2.5, 10.0), ("zero", 0.0, -2.5, 10.0), ("one", 1.0, 3.5, -9.0)],
)
def test_better_is_to_the_right(better: str, ceiling: float, model: float, floor: float) -> None:
    """In each case the model is three quarters of the way from floor to ceiling."""
    values = {"ceiling": ceiling, "model": model, "floor": floor}
    drawing = comparison({"better": better, **{column: {"value": value} for column, value in values.items()}})
    left, right = at(drawing, "floor"), at(drawing, "ceiling")
    assert left < right
    assert (at(drawing, "model") - left) / (right - left) == pytest.approx(0.75, abs=0.001)
    gain = re.search(r'class="gain" x="([\d.]+)" width="([\d.]+)"', drawing)
    assert gain is not None
    assert (float(gain[1]), float(gain[1]) + float(gain[2])) == pytest.approx((left, at(drawing, "model")), abs=0.02)


def test_an_interval_around_the_target_reaches_the_best_end() -> None:
    drawing = comparison(
        {"better": "zero", "model": {"value": 1.0, "low": -2.0, "high": 3.0}, "floor": {"value": -4.0, "low": -4.0, "high": -4.0}}
    )
    ends = re.search(r'class="range model" x1="([\d.]+)" x2="([\d.]+)"', drawing)
    assert ends is not None
    full = 240 - 2 * 9
    assert (float(ends[1]), float(ends[2])) == pytest.approx((9 + full / 4, 9 + full))  # sizes 3 to 0 of 4 to 0


def test_a_metric_without_direction_or_values_has_no_drawing() -> None:
    assert comparison({"better": None, "model": {"value": 1.0}}) == ""
    assert comparison({"better": "higher", "model": None}) == ""


def test_lags_are_counted_and_far_ones_kept_at_the_ends() -> None:
    lags = [0, 0, 0, 1, None, float("nan"), 40, -2.0]
    reach, tallest = lag_scale({"model": lags, "floor": [0, 1]})
    assert (reach, tallest) == (15, 0.5)
    bars = re.findall(r'class="fill model".*?height="([\d.]+)"><title>(.*?)</title>', lag_histogram(lags, "model", reach, tallest))
    assert [title for _, title in bars] == [f"{MINUS}2 frames: 1 of 6", "0 frames: 3 of 6", "+1 frame: 1 of 6", "+15 frames: 1 of 6"]
    heights = [float(height) for height, _ in bars]
    assert heights == pytest.approx([heights[1] / 3, heights[1], heights[1] / 3, heights[1] / 3], abs=0.02)
    assert "none known" in lag_histogram([None], "model", 4, 1.0)


def test_curves_share_a_scale_and_break_where_nothing_is_known() -> None:
    drawing = curves(
        {"id": "a", "fps": 10, "opening_model": [0, 1, None, 1, 0], "opening_truth": [0, 2, 0, 0, 0], "sound": [0, 0.5, 0, 0, 0]}
    )
    model = re.findall(r'class="curve model" d="(.*?)"', drawing)
    truth = re.findall(r'class="curve ceiling" d="(.*?)"', drawing)
    assert model == ["M0.0 108.0 L115.0 58.0", "M345.0 58.0 L460.0 108.0"]  # 1 is half of the largest opening
    assert truth == ["M0.0 108.0 L115.0 8.0 L230.0 108.0 L345.0 108.0 L460.0 108.0"]
    assert "over 0.5 s" in drawing


def test_a_drawing_of_nothing_is_still_a_drawing() -> None:
    assert curves({"id": "empty"}).startswith("<svg")


def test_numbers_are_shown_with_one_rule() -> None:
    assert [decimals([value]) for value in (0.5, 1.99, 2.5, 19.9, 84.5, 512.25)] == [3, 3, 2, 2, 1, 0]
    assert decimals([0.0, 3.0, None]) == 0
    assert (shown(-0.0004, 3), shown(-1.5, 1), shown(None, 2)) == ("0.000", f"{MINUS}1.5", "–")


def test_only_finished_markup_passes_unescaped() -> None:
    assert join("<b>", tag("i", "a & b", title='"q"')) == '&lt;b&gt;<i title="&quot;q&quot;">a &amp; b</i>'
    assert join(tag("i", "a") + "<b>") == "&lt;i&gt;a&lt;/i&gt;&lt;b&gt;"  # glued text is text again
    assert tag("video", controls=True, muted=False, poster=None, stroke_width=1.50) == '<video controls stroke-width="1.5"></video>'


def test_the_papers_rows_are_shown_and_set_apart(work: Path, tmp_path: Path) -> None:
    text = written(example(), work, tmp_path / "report").text
    assert published.CAVEAT in text
    assert published.CAVEAT.startswith("Not comparable")
    assert "UniTalking 4.87 8.05 Universe-1 1.85 11.97 OVI 6.56 8.60 Sora2 5.35 7.78" in text
    assert "UniTalking 0.703 0.662 ElevenLabs 0.613 0.677 MiniMax 0.756 0.780 Qwen3-Omni 0.773 0.772" in text
    assert "UniTalking 0.038 Fish Speech 0.008 F5-TTS 0.018 OVI-Aud 0.035" in text


def test_every_published_row_is_complete() -> None:
    assert all(len(row) == len(table.columns) for table in published.TABLES for row in table.rows.values())
    assert all("UniTalking" in table.rows for table in published.TABLES)
