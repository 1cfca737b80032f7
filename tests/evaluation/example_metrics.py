"""A believable outcome of an evaluation, drawn from a seed: the format the report reads, without evaluating anything."""

from __future__ import annotations

import math
import random
from typing import Any

SENTENCES = (
    "the small boat came home before the rain",
    "please bring two green apples and the blue cup",
    "my brother will call you in the morning",
    "seven white birds sleep under the old bridge",
    "we never open that window after dark",
    "she found a yellow book behind the door",
)
FPS = 25
HELD_OUT = 40


def figure(rng: random.Random, value: float, spread: float) -> dict[str, float]:
    off = rng.uniform(-0.2, 0.2) * spread
    return {"value": value, "low": value - spread + off, "high": value + spread + off, "n": HELD_OUT}


def metric(rng: random.Random, unit: str, better: str, tool: str, values: tuple[float, float, float], note: str = "") -> dict[str, Any]:
    spread = 0.06 * (max(values) - min(values) or 1)
    columns = dict(zip(("ceiling", "model", "floor"), values, strict=True))
    return {
        "unit": unit,
        "better": better,
        "tool": tool,
        "note": note,
        **{column: figure(rng, value, spread) for column, value in columns.items()},
    }


def opening(rng: random.Random, frames: int) -> list[float]:
    """A mouth that opens for each syllable."""
    syllables = [(rng.uniform(0, frames), rng.uniform(0.1, 0.5), rng.uniform(1.5, 3.0)) for _ in range(frames // 6)]
    return [sum(height * math.exp(-(((i - at) / width) ** 2)) for at, height, width in syllables) for i in range(frames)]


def curve(rng: random.Random, name: str) -> dict[str, Any]:
    frames = 100
    model = opening(rng, frames)
    sound = [max(0.0, value + rng.gauss(0, 0.04)) for value in model]
    truth = [0.8 * model[max(0, i - 3)] + rng.uniform(0, 0.03) for i in range(frames)]
    return {"id": name, "fps": FPS, "opening_model": model, "opening_truth": truth, "sound": sound}


def lags(rng: random.Random, width: float) -> list[int | None]:
    return [None if rng.random() < 0.02 else max(-8, min(8, round(rng.gauss(0, width)))) for _ in range(HELD_OUT * 5)]


def example(seed: int = 0, kept: int = HELD_OUT) -> dict[str, Any]:
    """kept: how many clips of TIR2AV have files, `clips/<id>.mp4` and `clips/<id>-true.mp4`. T2A has sound alone."""
    rng = random.Random(seed)
    ids = [f"test-{i:04d}" for i in range(HELD_OUT)]
    clips = [
        {
            "id": name,
            "text": f"<S>{SENTENCES[i % len(SENTENCES)]}<E> a woman with short dark hair, a calm low voice",
            "sync_cues": {"model": rng.betavariate(7, 3), "ceiling": rng.betavariate(9, 3), "floor": rng.betavariate(4, 6)},
            "word_error_rate": {"model": rng.choice([0, 0, 0.125, 0.25]), "ceiling": rng.choice([0, 0, 0.125])},
            "speaker_similarity": rng.betavariate(14, 6),
            "lag": rng.choice([-1, 0, 0, 0, 1, 2]),
            "heard": SENTENCES[i % len(SENTENCES)].replace("the ", "a ", 1),
            "files": {"model": f"clips/{name}.mp4", "ceiling": f"clips/{name}-true.mp4"} if i < kept else {},
        }
        for i, name in enumerate(ids)
    ]
    recogniser, encoder = "faster-whisper 1.2.1, whisper-base", "Resemblyzer 0.1.4"
    table = {
        "sync_cues": metric(
            rng, "correlation", "higher", "mediapipe FaceMesh, Rhubarb", (0.70, 0.66, 0.43), "mouth opening against the sound"
        ),
        "lag_within_one_frame": metric(rng, "%", "higher", "mediapipe FaceMesh, Rhubarb", (84.0, 81.5, 22.0)),
        "word_error_rate": metric(rng, "fraction", "lower", recogniser, (0.052, 0.118, 0.97), "errors over words"),
        "speaker_similarity": metric(rng, "cosine", "higher", encoder, (0.78, 0.71, 0.53), "unseen voices"),
        "speech_quality": {**metric(rng, "MOS, 1 to 5", "higher", "DNSMOS", (2.90, 2.71, 2.0)), "floor": None},
        "sync_confidence": {"unit": "Sync-C", "better": "higher", "tool": "SyncNet", "missing": "not measured: no weights were given"},
        "identity_distance": metric(rng, "distance", "lower", "dlib", (0.12, 0.21, 0.47)),
        "median_lag": metric(rng, "frames", "zero", "mediapipe FaceMesh, Rhubarb", (0.0, 0.0, -2.0)),
    }
    speech = {key: {**table[key], "note": ""} for key in ("word_error_rate", "speaker_similarity")}
    return {
        "format": "unitalking-metrics/1",
        "checkpoint": {"file": "unitalking-nano.safetensors", "sha256": "9f2c" * 16, "name": "nano"},
        "test": {"clips": ids, "manifest_sha256": "04ab" * 16, "counts": {"sentences": 40, "faces": 12, "unseen_voices": 10}},
        "settings": {"steps": 24, "seed": 0, "guidance": {"text_scale": 2.5, "voice_scale": 1.5, "sync_scale": 0.0}, "sampler": "euler"},
        "tools": {"faster-whisper": "1.2.1", "Resemblyzer": "0.1.4", "mediapipe": "0.10.21", "rhubarb-lip-sync-wasm": "0.1.8"},
        "tasks": {"TIR2AV": table, "T2A": speech},
        "clips": {"TIR2AV": clips},
        "curves": {"TIR2AV": [curve(rng, name) for name in ids[:8]]},
        "lags": {"TIR2AV": {"model": lags(rng, 1.2), "ceiling": lags(rng, 0.9), "floor": lags(rng, 4.0)}},
    }
