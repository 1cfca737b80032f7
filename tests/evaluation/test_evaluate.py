"""The whole way on a small random model and a corpus of noise, without any outside tool: what is made, and the document's shape."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tests.evaluation.fakes import KnownReadings
from tests.server.graphs import write_random_checkpoint
from unitalking_core.cli import main
from unitalking_core.evaluation.clips import Maker, Settings, held_out
from unitalking_core.evaluation.evaluate import evaluate
from unitalking_core.evaluation.metrics.quality import Opinion
from unitalking_core.evaluation.metrics.words import WordErrors
from unitalking_core.evaluation.readings import Readings
from unitalking_core.evaluation.recordings import Recording
from unitalking_core.evaluation.trials import Trial
from unitalking_core.flow import Guidance
from unitalking_core.generate import Pipeline
from unitalking_core.sampling import sample
from unitalking_core.tasks import TASKS
from unitalking_core.training.corpus import CorpusError, Item, read_manifest

CLIPS, FRAMES = 3, 13
SAMPLES = round(FRAMES * 16000 / 24)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    write_random_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def pipeline(checkpoint: Path) -> Pipeline:
    return Pipeline.load(checkpoint)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three held-out clips, one more of training, two speakers of whom one is unseen."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    (folder / "voices").mkdir()
    lines = []
    for i in range(CLIPS + 1):
        speaker, split = ("seen", "unseen")[i % 2], "heldout" if i < CLIPS else "train"
        speaker = "seen" if split == "train" else speaker
        frames = rng.integers(0, 255, (FRAMES, 64, 64, 3), dtype=np.uint8)
        save_file({"frames": frames, "waveform": rng.integers(-9000, 9000, SAMPLES, dtype=np.int16)}, folder / f"{i}.safetensors")
        save_file({"waveform": rng.integers(-9000, 9000, 24000, dtype=np.int16)}, folder / "voices" / f"{speaker}_{i}.safetensors")
        line = {
            "id": f"{split}-{i}",
            "split": split,
            "file": f"{i}.safetensors",
            "text": f"<S>word {'abcd'[i]}<E> a man",
            "speaker": speaker,
        }
        lines.append(json.dumps({**line, "voice_file": f"voices/{speaker}_{i}.safetensors"}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def maker(pipeline: Pipeline, corpus: Path, work: Path, **values: object) -> Maker:
    settings = {"checkpoint": "abc", "manifest": "def", "steps": 2, "guidance": Guidance.of(pipeline.config.sampling), "seed": 0, **values}
    return Maker(pipeline, corpus, work, Settings(**settings), batch=2)


@pytest.mark.parametrize("name", ["TIR2AV", "A2V", "TV2A", "T2A"])
def test_a_batch_gives_the_clips_that_single_ones_give(pipeline: Pipeline, name: str) -> None:
    generator = torch.Generator().manual_seed(5)
    video = torch.randn(2, 12, 4, 4, 4, generator=generator)
    audio, voice = torch.randn(2, 10, 13, generator=generator), torch.randn(2, 10, 20, generator=generator)
    options = {"steps": 3, "guidance": Guidance.of(pipeline.config.sampling, 2.0, 1.5, 0.5)}
    texts = ["<S>one<E> a man", "<S>two or three<E> a woman"]
    whole = sample(pipeline, TASKS[name], texts, video, audio, voice, seeds=[3, 4], **options)
    for i in range(2):
        row = slice(i, i + 1)
        alone = sample(pipeline, TASKS[name], texts[row], video[row], audio[row], voice[row], seeds=[3 + i], **options)
        for made, single in zip(whole, alone, strict=True):
            assert (made is None) == (single is None)
            if made is not None and single is not None:
                torch.testing.assert_close(made[row], single, atol=1e-3, rtol=1e-3)
    assert (whole[0] is None) == (name == "T2A")
    if whole[0] is not None:
        assert torch.equal(whole[0][:, :, 0], video[:, :, 0]) == (name != "T2A")
        assert torch.equal(whole[0], video) == (name == "TV2A")
    assert torch.equal(whole[1], audio) == (name == "A2V")


def test_sampling_is_what_generate_does(pipeline: Pipeline) -> None:
    """The same seed, text and scale, nothing given: the same latents."""
    made = pipeline.generate("<S>hello<E> a man", seconds=13 / 24, seed=7, steps=3)
    video, audio = torch.zeros(1, 12, 4, 4, 4), torch.zeros(1, 10, made.clip.audio_tokens)
    guidance = Guidance.of(pipeline.config.sampling)
    found, _ = sample(
        pipeline, TASKS["T2AV"], ["<S>hello<E> a man"], video, audio, torch.zeros(1, 10, 20), seeds=[7], steps=3, guidance=guidance
    )
    assert found is not None
    torch.testing.assert_close(found * 2.0 + 0.5, made.video, atol=1e-4, rtol=1e-4)


def test_clips_are_made_once_and_given_streams_are_the_ceilings(pipeline: Pipeline, corpus: Path, tmp_path: Path) -> None:
    items = held_out(read_manifest(corpus), None)
    made = maker(pipeline, corpus, tmp_path)
    made.claim()
    ceiling = made.ceiling(items)
    for name in ("A2V", "TV2A", "T2A", "TIR2AV-apart"):
        found = made.trial(Trial.of(name), items)
        assert len(found) == CLIPS
        for true, clip in zip(ceiling, found, strict=True):
            assert clip.samples().shape == (SAMPLES,)
            assert (clip.samples() == true.samples()).all() == (name == "A2V")
            assert clip.path.with_suffix(".wav").is_file()
            assert clip.path.with_suffix(".mp4").is_file() == (name != "T2A")
            if name != "T2A":
                assert clip.frames().shape == (FRAMES, 64, 64, 3)
                assert (clip.frames() == true.frames()).all() == (name == "TV2A")
                assert (clip.frames()[0] == true.frames()[0]).all()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.safetensors")}
    missing = tmp_path / "A2V" / f"{items[1].id}.safetensors"
    frames = Recording(missing).frames()
    missing.unlink()
    made.trial(Trial.of("A2V"), items)
    assert (np.abs(Recording(missing).frames().astype(int) - frames) <= 2).all()
    changed = [path for path in before if path.stat().st_mtime_ns != before[path]]
    assert changed == [missing]
    with pytest.raises(ValueError, match=r"made otherwise \(steps\)"):
        maker(pipeline, corpus, tmp_path, steps=3).claim()


def test_the_document(pipeline: Pipeline, corpus: Path, checkpoint: Path, tmp_path: Path) -> None:
    """One metric whose readings are known and one whose tool is missing."""
    items = held_out(read_manifest(corpus), None)
    heard = {f"{item.id}.safetensors": "word" for item in items}
    metrics = (WordErrors(KnownReadings("ears", heard)), Opinion(KnownReadings("taste", absent="package taste missing, do this")))
    trials = [Trial.of(name) for name in ("TIR2AV", "A2V")]
    document = evaluate(maker(pipeline, corpus, tmp_path), items, trials, metrics, checkpoint, Readings(tmp_path / "readings"))
    assert json.loads(json.dumps(document)) == document
    assert document["format"] == "unitalking-metrics/1"
    assert document["checkpoint"] == {"file": "random.safetensors", "sha256": "abc", "name": "random"}
    assert document["test"]["clips"] == [item.id for item in items]
    assert document["test"]["counts"]["clips_of_unseen_speakers"] == 1
    assert document["tools"]["ears"] == "1"
    errors = document["tasks"]["TIR2AV"]["word_error_rate"]
    assert (errors["unit"], errors["better"], errors["tool"]) == ("errors per word", "lower", "ears")
    assert errors["ceiling"] == errors["model"] == errors["floor"] == {"value": 0.5, "low": 0.5, "high": 0.5, "n": CLIPS}
    absent = document["tasks"]["TIR2AV"]["speech_quality"]
    assert absent["note"] == "not measured: package taste missing, do this"
    assert absent["ceiling"] is absent["model"] is absent["floor"] is None
    assert document["tasks"]["A2V"] == {}
    first = document["clips"]["TIR2AV"][0]
    assert (first["id"], first["word_error_rate"], first["heard"]) == (items[0].id, 0.5, "word")
    for file in first["files"].values():
        assert (tmp_path / file).is_file()


def test_the_command_without_tools_says_what_is_missing(checkpoint: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "metrics.json"
    options = ["--corpus", str(corpus), "--json", str(out), "--tools", str(tmp_path / "none"), "--steps", "1", "--tasks", "A2V"]
    assert main(["evaluate", str(checkpoint), "--clips", "2", *options]) == 0
    sync = json.loads(out.read_text())["tasks"]["A2V"]["sync_cues"]
    assert sync["model"] is None
    assert sync["note"].startswith("not measured: ")
    assert "mediapipe" in sync["note"]


@pytest.mark.parametrize(
    ("name", "reads_text", "hears"), [("A2V", True, True), ("A2V-untold", False, True), ("A2V-untold-apart", False, False)]
)
def test_what_a_picture_made_for_a_given_sound_goes_by(
    pipeline: Pipeline, corpus: Path, tmp_path: Path, name: str, reads_text: bool, hears: bool
) -> None:
    """Two held-out clips of one length; seed, portrait and all else stay."""
    item, other = held_out(read_manifest(corpus), None)[:2]

    def picture(case: str, said: Item) -> np.ndarray:
        made = maker(pipeline, corpus, tmp_path / case)
        made.claim()
        made.ceiling([said])
        return made.trial(Trial.of(name), [said])[0].frames()

    usual = picture("usual", item)
    assert (picture("text", replace(item, text="<S>not a word of it<E> a woman")) != usual).any() == reads_text
    sound = {**load_file(corpus / item.file), "waveform": load_file(corpus / other.file)["waveform"]}
    save_file(sound, corpus / "other_sound.safetensors")
    assert (picture("sound", replace(item, file="other_sound.safetensors")) != usual).any() == hears


def test_trials_say_what_they_are() -> None:
    assert Trial.of("A2V").about() == "given text, portrait, sound; made picture"
    assert Trial.of("A2V-untold-apart").about() == "given portrait, sound; made picture; picture and sound do not see each other"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "TIR2AV-untold"], "nothing but the text to tell what is said"),
        (["--tasks", "TIR2AV,XYZ"], "unknown task 'XYZ'"),
        (["--tasks", "T2A-apart"], "unknown task 'T2A-apart'"),
        (["--clips", "50"], "3 held-out clips, 50 are needed"),
        (["--manifest", "nowhere.jsonl"], "no such test manifest: nowhere.jsonl"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_bad_options_are_named(
    checkpoint: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture, options: list[str], message: str
) -> None:
    assert main(["evaluate", str(checkpoint), "--corpus", str(corpus), "--json", str(tmp_path / "m.json"), *options]) == 1
    assert message in capsys.readouterr().err


def test_a_corpus_without_held_out_clips_is_refused(corpus: Path) -> None:
    with pytest.raises(CorpusError, match="0 held-out"):
        held_out([item for item in read_manifest(corpus) if item.split == "train"], None)


def test_commands_with_a_room_of_their_own_get_their_arguments(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = tmp_path / "run.json"
    config.write_text('{"tempo": 3}')
    assert main(["train", str(config), "--only", "audio-codec"]) == 1
    assert "unknown entries tempo" in capsys.readouterr().err
    assert main(["prepare", "synthetic", str(tmp_path), "--clips", "-1"]) == 1
    assert "counts of clips" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["info", "--tempo", "3"])
