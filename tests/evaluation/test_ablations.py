"""The runner of ablations: everything once, in order, on another run's latents; and its table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from training.toy import write_store

from unitalking_core import checkpoint
from unitalking_core.codecs import NanoAudioCodec, NanoVideoCodec
from unitalking_core.config import ConfigError
from unitalking_core.evaluation.ablation_table import paired, table
from unitalking_core.evaluation.ablations import Setting, run_ablations, sampling_ablations
from unitalking_core.presets import pico
from unitalking_core.tasks import APART
from unitalking_core.training.latents import LatentStore

ONE_STEP = [{"name": "voice", "steps": 1, "batch": 2, "lr": 1e-3, "tasks": {"T2A": 1}}]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A run with untrained codecs and latents of 40 channels."""
    folder, model = tmp_path / "source", pico()
    checkpoint.save(folder / "audio_codec.safetensors", model, {checkpoint.AUDIO_CODEC: NanoAudioCodec(model.audio).state_dict()})
    checkpoint.save(folder / "video_codec.safetensors", model, {checkpoint.VIDEO_CODEC: NanoVideoCodec(model.video).state_dict()})
    write_store(folder / "latents", clips=140)
    index = folder / "latents" / "audio.jsonl"
    lines = [json.loads(line) for line in index.read_text().splitlines()][:8]
    for i, line in enumerate(lines):
        line |= {"audio": [480 * i, [40, 6]], "voice": [480 * i + 240, [40, 6]]}
    index.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_config(folder: Path, name: str, source: Path, **values: object) -> None:
    folder.mkdir(exist_ok=True)
    raw = {"model": "pico", "corpus": "", "run": "", "export": "", "precision": "fp32", "codecs_from": str(source), "stages": ONE_STEP}
    (folder / f"{name}.json").write_text(json.dumps({**raw, **values}))


def test_everything_is_done_once_and_in_order(tmp_path: Path, source: Path) -> None:
    configs, out = tmp_path / "configs", tmp_path / "out"
    write_config(configs, "a_change", source, model_options={"transformer": {"rope": "index"}})
    write_config(configs, "baseline", source)
    calls: list[tuple[str, str]] = []

    def measure(path: Path, store: LatentStore, setting: Setting, clips: int) -> dict[str, list[float]]:
        calls.append((path.parent.name, setting.name))
        assert len(store.entries) == 8
        rope = checkpoint.read_config(path).transformer.rope
        return {"loss": [1.0 + (rope == "index")] * clips} if not setting.sync else {}

    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    told = run_ablations(configs, out, [0, 1], clips=3, measure=measure)
    of_one_seed = [
        ("baseline", ""),
        ("baseline", "streams apart when used"),
        ("baseline", "sync guidance"),
    ]
    assert calls == [(f"{name}-seed{s}", setting) for s in (0, 1) for name, setting in [*of_one_seed, ("a_change", "")]]
    assert (out / "table.md").read_text() == told
    assert "| a_change | 1 |" in told
    assert "2.000 (+1.000 ± 0.000)" in told
    assert before == {path: path.stat().st_mtime_ns for path in source.rglob("*")}

    trained = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert len(trained) == 4 * 2
    assert run_ablations(configs, out, [0, 1], clips=3, measure=measure) == told
    assert len(calls) == 8
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == trained

    write_config(configs, "baseline", source, model_options={"transformer": {"predicts": "velocity"}})
    with pytest.raises(ConfigError, match="baseline-seed0 holds a run of another configuration"):
        run_ablations(configs, out, [0], clips=3, measure=measure)


def test_a_folder_without_a_baseline_is_refused(tmp_path: Path, source: Path) -> None:
    write_config(tmp_path / "configs", "a_change", source)
    with pytest.raises(ConfigError, match=r"no baseline\.json"):
        run_ablations(tmp_path / "configs", tmp_path / "out", [0], clips=3)


def test_rows_are_compared_clip_by_clip_with_the_baseline_of_their_seed() -> None:
    mean, half_width = paired([1.0, 2.0, 6.0], [0.0, 2.0, 4.0])
    assert (mean, half_width) == (pytest.approx(1.0), pytest.approx(1.96 / 3**0.5))

    def result(row: str, seed: int, loss: float | None) -> Mapping:
        return {"row": row, "seed": seed, "parameters": 1_500_000, "measures": {} if loss is None else {"loss": [loss, loss]}}

    rows = [
        result("baseline", 0, 1.0),
        result("guided", 0, None),
        result("other", 0, 1.5),
        result("baseline", 1, 1.2),
        result("other", 1, 1.3),
    ]
    cells = [line.split(" | ")[-1] for line in table(rows).splitlines()[2:]]
    assert cells == ["1.000 |", "- |", "1.500 (+0.500 ± 0.000) |", "1.200 (+0.200 ± 0.000) |", "1.300 (+0.100 ± 0.000) |"]


def test_a_checkpoint_alone_gets_the_rows_of_sampling(tmp_path: Path, source: Path) -> None:
    asked: list[Setting] = []

    def measure(path: Path, store: LatentStore, setting: Setting, clips: int) -> dict[str, list[float]]:
        asked.append(setting)
        return {"motion": [0.5 + setting.sync] * clips} | ({} if setting.sync else {"loss": [1.0] * clips})

    weights = tmp_path / "model.safetensors"
    checkpoint.save(weights, pico(), {checkpoint.TRANSFORMER: {"head": torch.zeros(3)}})
    told = sampling_ablations(weights, source / "latents", tmp_path / "out", clips=3, measure=measure)
    assert [(setting.visibility, setting.sync) for setting in asked] == [(None, 0.0), (APART, 0.0), (None, 1.0)]
    assert (tmp_path / "out" / "table.md").read_text() == told
    assert "| sync guidance | 0 | " in told
    assert "1.500 (+1.000 ± 0.000)" in told
    with pytest.raises(ConfigError, match="name the run that has them with --codecs-from"):
        sampling_ablations(weights, tmp_path / "nothing", tmp_path / "out", clips=3, measure=measure)
