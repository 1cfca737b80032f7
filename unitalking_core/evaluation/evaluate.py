"""All of it: make what is missing, measure it, and say it in one JSON document (schema "unitalking-metrics/1").

A metric whose tool is not installed is in the document too, with no figures and a note that says what is missing.
"""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..training.corpus import Item, in_training, read_manifest
from .clips import Maker
from .curves import envelope
from .metrics import Case, Column, Columns, Figure, Metric, Test, has_both
from .metrics.closure import LipClosure
from .metrics.identity import SameFace
from .metrics.mouth import MouthLikeTruth, MouthMotion
from .metrics.picture import PictureFidelity
from .metrics.quality import Opinion
from .metrics.sync import SyncWithCues, SyncWithEnergy, opening_of
from .metrics.voice import VoiceLikeness
from .metrics.words import WordErrors
from .readings import Readings
from .recordings import SAMPLE_RATE, Recording, spoken_words
from .statistics import summarise
from .tools import Place, ToolMissing
from .tools.alignment import Alignment
from .tools.cues import MouthCues
from .tools.face import FaceEncoder
from .tools.landmarks import Landmarks
from .tools.quality import SpeechQuality
from .tools.recogniser import Recogniser
from .tools.speaker import SpeakerEncoder
from .trials import Trial

LOG = logging.getLogger(__name__)

FORMAT = "unitalking-metrics/1"
CURVES = 12
"""Clips whose curves are in the document."""


def all_metrics(place: Place, whisper: Path | None = None) -> tuple[Metric, ...]:
    """Every metric with its tools."""
    landmarks = Landmarks(place)
    return (
        WordErrors(Recogniser(place, whisper)),
        VoiceLikeness(SpeakerEncoder()),
        Opinion(SpeechQuality()),
        SyncWithCues(landmarks, MouthCues(place)),
        SyncWithEnergy(landmarks),
        LipClosure(landmarks, Alignment()),
        MouthLikeTruth(landmarks),
        MouthMotion(landmarks),
        SameFace(FaceEncoder()),
        PictureFidelity(landmarks),
    )


def evaluate(
    maker: Maker,
    items: Sequence[Item],
    trials: Sequence[Trial],
    metrics: Sequence[Metric],
    checkpoint: Path,
    readings: Readings,
) -> dict[str, Any]:
    """The document for these held-out clips. Raises what `Maker` raises; a missing tool raises nothing."""
    maker.claim()
    ceiling = maker.ceiling(items)
    made = {trial: maker.trial(trial, items) for trial in trials}
    everything = read_manifest(maker.corpus)
    voices = _voices(maker.corpus, everything)
    heard = {item.speaker for item in everything if in_training(item.split)}
    tasks: dict[str, dict] = {}
    clips: dict[str, list] = {}
    curves: dict[str, list] = {}
    lags: dict[str, dict] = {}
    for trial, recordings in made.items():
        test = Test(
            task=trial.task,
            cases=tuple(_case(maker.corpus, *row) for row in zip(items, ceiling, recordings, strict=True)),
            fps=float(maker.pipeline.config.timeline.exact_fps),
            voices=voices,
            unseen=frozenset(voices) - heard,
            vocabulary=tuple(sorted({word for item in everything for word in spoken_words(item.text).split()})),
        )
        LOG.info("measuring %s", trial.name)
        found, tasks[trial.name] = measure(test, metrics, readings)
        clips[trial.name] = _per_clip(test, found, maker.work, readings, metrics)
        if has_both(trial.task):
            curves[trial.name] = _curves(test, metrics, readings)
        lag = found.get("lag_cues") or found.get("lag_energy")
        if lag is not None and lag.floor is not None:
            named = (("model", lag.model), ("ceiling", lag.ceiling), ("floor", lag.floor))
            lags[trial.name] = {name: [value for value in column.values if value is not None] for name, column in named}
    return _finite(
        {
            "format": FORMAT,
            "checkpoint": {"file": checkpoint.name, "sha256": maker.settings.checkpoint, "name": maker.pipeline.config.name},
            "test": _test(maker.settings.manifest, items, voices, heard),
            "settings": {
                **asdict(maker.settings),
                "shift": maker.pipeline.config.sampling.shift,
                "tasks": [trial.name for trial in trials],
                "interval": "95 % percentile bootstrap over clips",
            },
            "tools": {**dict(sorted(readings.versions.items())), "torch": torch.__version__, "python": platform.python_version()},
            "tasks": tasks,
            "clips": clips,
            "curves": curves,
            "lags": lags,
        }
    )


def measure(test: Test, metrics: Sequence[Metric], readings: Readings) -> tuple[dict[str, Columns], dict[str, dict]]:
    """What every metric found, and its entries for the document."""
    found: dict[str, Columns] = {}
    entries: dict[str, dict] = {}
    for metric in metrics:
        if not metric.applies(test.task):
            continue
        tool = ", ".join(tool.name for tool in metric.needs)
        try:
            measured, reason = metric.measure(test, readings.read), None
        except ToolMissing as error:
            measured, reason = {}, f"not measured: {error}"
            LOG.warning("%s: %s", ", ".join(figure.name for figure in metric.figures), reason)
        found |= measured
        for figure in metric.figures:
            entries[figure.name] = _entry(figure, tool, measured.get(figure.name), reason)
    return found, entries


def _entry(figure: Figure, tool: str, columns: Columns | None, reason: str | None) -> dict[str, Any]:
    def interval(column: Column | None) -> Any:
        return None if column is None else summarise(column.values, column.weights, figure.statistic)

    shown = {name: None if columns is None else interval(getattr(columns, name)) for name in ("ceiling", "model", "floor")}
    note = figure.note if reason is None else reason
    if figure.statistic != "mean" and reason is None:
        note += f" ({figure.statistic} over clips)"
    return {"unit": figure.unit, "better": figure.better, "tool": tool, "note": note, **shown}


def _voices(corpus: Path, items: Sequence[Item]) -> dict[str, tuple[Recording, ...]]:
    """Every speaker's reference recordings that a clip of the manifest names; voices that are met once are no speakers to choose from."""
    named: dict[str, set[str]] = {}
    for item in items:
        if item.split not in ("train_stranger", "train_blend"):
            named.setdefault(item.speaker, set()).add(item.voice_file)
    return {speaker: tuple(Recording(corpus / file) for file in sorted(files)) for speaker, files in sorted(named.items())}


def _case(corpus: Path, item: Item, ceiling: Recording, model: Recording) -> Case:
    words = spoken_words(item.text)
    return Case(item.id, words, item.speaker, Recording(corpus / item.voice_file), Recording(corpus / item.file, words), ceiling, model)


def _test(digest: str, items: Sequence[Item], voices: Mapping[str, Any], heard: set[str]) -> dict[str, Any]:
    return {
        "clips": [item.id for item in items],
        "manifest_sha256": digest,
        "counts": {
            "clips": len(items),
            "speakers": len({item.speaker for item in items}),
            "clips_of_unseen_speakers": sum(item.speaker not in heard for item in items),
            "unseen_speakers_enrolled": len(voices.keys() - heard),
            "speakers_enrolled": len(voices),
            "sentences": len({spoken_words(item.text) for item in items}),
        },
    }


def _per_clip(test: Test, found: Mapping[str, Columns], work: Path, readings: Readings, metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """The model's values of every clip, what was heard in it, and where it is."""
    heard: list[str | None] = [None] * len(test.cases)
    recogniser = next((m.recogniser for m in metrics if isinstance(m, WordErrors)), None)
    if "word_error_rate" in found and recogniser is not None:
        heard = readings.read(recogniser, [case.model for case in test.cases])

    def shown(recording: Recording) -> str:
        clip = recording.path.with_suffix(".mp4")
        return (clip if clip.is_file() else recording.path.with_suffix(".wav")).relative_to(work).as_posix()

    return [
        {
            "id": case.id,
            "words": case.words,
            "heard": heard[i],
            "speaker": case.speaker,
            "unseen_speaker": case.speaker in test.unseen,
            **{name: columns.model.values[i] for name, columns in found.items()},
            "files": {"model": shown(case.model), "ceiling": shown(case.ceiling)},
        }
        for i, case in enumerate(test.cases)
    ]


def _curves(test: Test, metrics: Sequence[Metric], readings: Readings) -> list[dict[str, Any]]:
    """Opening of the mouth and loudness of the sound in a dozen clips; empty where the landmarks are missing."""
    landmarks = next((m.landmarks for m in metrics if isinstance(m, SyncWithEnergy)), None)
    cases = test.cases[:CURVES]
    if landmarks is None or landmarks.missing() is not None:
        return []
    made, true = (readings.read(landmarks, [getattr(case, column) for case in cases]) for column in ("model", "truth"))
    rows = []
    for case, a, b in zip(cases, made, true, strict=True):
        opening, truth = opening_of(a), opening_of(b)
        if opening is None or truth is None:
            continue
        sound = envelope(case.model.waveform(), SAMPLE_RATE, len(opening), test.fps)
        named = (("opening_model", opening), ("opening_truth", truth), ("sound", sound))
        rows.append({"id": case.id, "fps": test.fps, **{name: [round(float(x), 5) for x in curve] for name, curve in named}})
    return rows


def _finite(value: Any) -> Any:
    """Numbers rounded to six places; raises ValueError where one is not finite, because JSON has no word for it."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a figure is not finite; a metric is at fault")
        return round(value, 6)
    return value
