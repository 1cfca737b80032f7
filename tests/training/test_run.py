"""The whole chain from the command line, on a corpus of six clips: codecs, latents, stages, samples, a checkpoint that generates."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import imageio_ffmpeg
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from training.test_latents import AUDIO, QUICK, VIDEO, write_corpus
from training.toy import MODEL

from unitalking_core import checkpoint
from unitalking_core.generate import Pipeline
from unitalking_core.presets import PRESETS
from unitalking_core.training import run as run_module
from unitalking_core.training.__main__ import main
from unitalking_core.training.samples import held_out, write_samples
from unitalking_core.training.trainer import Trainer

MODEL = dataclasses.replace(MODEL, video=VIDEO, audio=dataclasses.replace(AUDIO, max_voice_tokens=6))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(PRESETS, "toy", lambda: MODEL)
    corpus = tmp_path / "corpus"
    write_corpus(corpus, 6)
    manifest = corpus / "manifest.jsonl"
    held, rest = manifest.read_text().split("\n", 1)
    manifest.write_text(held.replace('"train"', '"heldout"') + "\n" + rest)
    stage = {"batch": 2, "lr": 1e-3, "warmup": 1, "steps": 2}
    raw = {
        "model": "toy", "corpus": str(corpus), "run": str(tmp_path / "run"), "export": str(tmp_path / "toy.safetensors"),
        "precision": "fp32", "log_every": 1, "sample_every": 2, "sample_clips": 1, "codecs": dataclasses.asdict(QUICK),
        "stages": [{"name": "voice", "tasks": {"T2A": 1}, **stage}, {"name": "talk", "tasks": {"TI2AV": 2, "T2A": 1}, **stage}],
    }  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(raw))
    return path


def test_a_run_from_the_command_line(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    main([str(config), "--only", "latents"])
    assert sorted(path.name for path in run.iterdir()) == ["audio_codec.safetensors", "latents", "video_codec.safetensors"]
    main([str(config), "--until", "3", "--device", "cpu"])
    assert (tmp_path / "toy.safetensors").exists()  # codecs come first, so the first stage can be heard
    assert sorted(file.name for file in (run / "samples" / "2").iterdir()) == ["c0.truth.wav", "c0.wav", "texts.tsv"]
    main([str(config)])
    assert [json.loads(line)["total"] for line in (run / "losses.jsonl").read_text().splitlines()] == [1, 2, 3, 4]
    shown = run / "samples" / "4"
    assert sorted(file.name for file in shown.iterdir()) == ["c0.mp4", "c0.truth.mp4", "sheet.png", "texts.tsv"]
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(shown / "c0.mp4"))
    assert frames == 17
    assert seconds == pytest.approx(17 / 24, abs=0.05)
    sheet = torch.frombuffer(bytearray(Image.open(shown / "sheet.png").tobytes()), dtype=torch.uint8).view(2, 32, -1, 3)
    assert torch.equal(sheet[0, :, :32], sheet[1, :, :32])  # TI2AV is given the first frame
    assert not torch.equal(sheet[0, :, 32:], sheet[1, :, 32:])
    assert Pipeline.load(tmp_path / "toy.safetensors").generate("<S>hi<E>", seconds=0.5, steps=1).waveform.isfinite().all()


def codec_of(run: Path) -> dict[str, torch.Tensor]:
    return {checkpoint.split_key(key)[1]: value for key, value in load_file(run / "video_codec.safetensors").items()}


def test_the_picture_codec_of_the_start_may_learn_on(config: Path, tmp_path: Path) -> None:
    main([str(config)])
    codecs = dataclasses.asdict(dataclasses.replace(QUICK, video_steps=0, relearn_video=True))
    raw = {**json.loads(config.read_text()), "start": str(tmp_path / "toy.safetensors"), "run": str(tmp_path / "on"), "codecs": codecs}
    config.write_text(json.dumps(raw))
    main([str(config), "--only", "video-codec"])
    taken = checkpoint.load(tmp_path / "toy.safetensors").part(checkpoint.VIDEO_CODEC)
    on = codec_of(tmp_path / "on")
    assert all(torch.equal(on[name], value.float()) for name, value in taken.items())  # no step was made
    raw["codecs"]["video_steps"], raw["run"] = 2, str(tmp_path / "further")
    config.write_text(json.dumps(raw))
    main([str(config), "--only", "video-codec"])
    on = codec_of(tmp_path / "further")
    moved = max((on[name] - value.float()).abs().max().item() for name, value in taken.items())
    assert 0 < moved < 0.02


def test_a_run_from_a_shipped_checkpoint_encodes_its_corpus(config: Path, tmp_path: Path) -> None:
    main([str(config)])
    raw = {**json.loads(config.read_text()), "start": str(tmp_path / "toy.safetensors"), "run": str(tmp_path / "on")}
    config.write_text(json.dumps(raw))
    main([str(config), "--only", "latents"])  # its codecs are in half precision
    assert len((tmp_path / "on" / "latents" / "video.jsonl").read_text().splitlines()) == 6


def test_what_is_trained_is_what_is_shipped(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The codecs' statistics are part of the model: a learner that did not know them would be used otherwise than it was trained."""
    trained = []

    class Watched(Trainer):
        def run(self, until: int | None = None) -> bool:
            trained.append(self.learner)
            return super().run(until)

    monkeypatch.setattr(run_module, "Trainer", Watched)
    main([str(config)])
    shipped = checkpoint.read_config(tmp_path / "toy.safetensors")
    assert shipped.video.change != MODEL.video.change
    assert trained[0].config == shipped
    assert trained[0].transformer.change == shipped.video.change


def test_a_continuation_keeps_the_half_it_is_given(config: Path, tmp_path: Path) -> None:
    main([str(config)])
    corpus = tmp_path / "corpus"
    (item,) = held_out(corpus, 3, "continuation")
    write_samples(Pipeline.load(tmp_path / "toy.safetensors"), corpus, [item], "continuation", tmp_path / "out", steps=2)
    sheet = torch.frombuffer(bytearray(Image.open(tmp_path / "out" / "sheet.png").tobytes()), dtype=torch.uint8).view(2, 32, -1, 3)
    assert sheet.shape[2] == 3 * 32  # frames 0, 6 and 12 of 17; two latents of five are given, 5 frames
    assert torch.equal(sheet[0, :, :32], sheet[1, :, :32])
    assert not torch.equal(sheet[0, :, 64:], sheet[1, :, 64:])


def test_a_warm_start_takes_what_fits(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a checkpoint with another video codec, every weight is taken but those at the picture's ends; the sound's codec goes on."""
    main([str(config)])
    first = checkpoint.load(tmp_path / "toy.safetensors")
    channels = MODEL.video.channels + 1
    monkeypatch.setitem(PRESETS, "wider", lambda: dataclasses.replace(MODEL, video=dataclasses.replace(MODEL.video, channels=channels)))
    raw = json.loads(config.read_text()) | {
        "model": "wider",
        "run": str(tmp_path / "next"),
        "warm_start": str(tmp_path / "toy.safetensors"),
    }
    raw["codecs"]["audio_steps"] = 0
    raw["export"], raw["stages"][0]["steps"], raw["stages"] = str(tmp_path / "next.safetensors"), 0, raw["stages"][:1]
    config.write_text(json.dumps(raw))
    main([str(config)])
    then = checkpoint.load(tmp_path / "next.safetensors")
    assert then.config.video.channels == channels
    for part in (checkpoint.AUDIO_CODEC, checkpoint.TEXT_ENCODER):
        assert all(torch.equal(value, then.part(part)[name]) for name, value in first.part(part).items())
    same = {n for n, v in first.part("transformer").items() if torch.equal(v, then.part("transformer")[n])}
    assert {"blocks.0.ffn.0.weight", "audio.head.head.weight", "audio.patch_embedding.weight"} <= same
    assert {"patch_embedding.weight", "head.head.weight"}.isdisjoint(same)
