"""The whole job without ComfyUI, on a small random model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.server.graphs import write_random_checkpoint
from tests.voices import spoken
from unitalking_core.cli import main
from unitalking_core.conditions.long_script import dialogue
from unitalking_core.conditions.script import Script
from unitalking_core.conditions.voice import VoiceError
from unitalking_core.flow import Guidance
from unitalking_core.generate import GeneratedClip, Pipeline
from unitalking_core.long import Person, generate_dialogue, generate_long

TEXT = "<S>hello there<E> a woman"
PORTRAIT = torch.rand(90, 70, 3, generator=torch.Generator().manual_seed(0))
VOICE = (spoken(3), 16000)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    write_random_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def pipeline(checkpoint: Path) -> Pipeline:
    return Pipeline.load(checkpoint)


def generate(pipeline: Pipeline, **changes: object) -> GeneratedClip:
    return pipeline.generate(TEXT, **{"portrait": PORTRAIT, "voice": VOICE, "seconds": 0.6, "steps": 2, **changes})


def test_a_clip_is_as_long_as_the_timeline_says(pipeline: Pipeline) -> None:
    steps = []
    clip = generate(pipeline, on_step=lambda done, total: steps.append((done, total)))
    assert clip.clip.frames == 13
    assert clip.waveform.shape == (1, clip.clip.samples)
    frames = torch.cat(list(clip.frames()))
    assert frames.shape == (13, 64, 64, 3)
    assert frames.dtype == torch.uint8
    assert steps == [(1, 2), (2, 2)]


def test_the_first_frame_is_the_portrait(pipeline: Pipeline) -> None:
    first = generate(pipeline).video[:, :, 0]
    assert torch.equal(first, generate(pipeline, seed=9).video[:, :, 0])
    assert not torch.equal(first, generate(pipeline, portrait=1 - PORTRAIT).video[:, :, 0])


def test_a_seed_is_a_clip(pipeline: Pipeline) -> None:
    assert torch.equal(generate(pipeline, seed=3).video, generate(pipeline, seed=3).video)
    assert not torch.equal(generate(pipeline, seed=3).video, generate(pipeline, seed=4).video)


@pytest.mark.parametrize("change", [{"voice": None}, {"portrait": None}, {"guidance": Guidance(3, 1)}, {"guidance": Guidance(1, 1, 2)}])
def test_every_input_is_heard_by_both_streams(pipeline: Pipeline, change: dict) -> None:
    plain, other = generate(pipeline, guidance=Guidance()), generate(pipeline, **{"guidance": Guidance(), **change})
    assert (plain.video[:, :, 1:] - other.video[:, :, 1:]).abs().max() > 1e-4
    assert (plain.waveform - other.waveform).abs().max() > 1e-4


def test_all_passes_in_one_batch_equal_one_by_one(pipeline: Pipeline) -> None:
    """Every direction of guidance at once, against the same sum made of runs with one direction each: exact for a single step."""
    neutral = generate(pipeline, steps=1, guidance=Guidance()).video
    terms = (Guidance(3, 3), Guidance(voice=2), Guidance(sync_video=0.5, sync_audio=0.5))
    parts = [generate(pipeline, steps=1, guidance=g).video - neutral for g in terms]
    together = generate(pipeline, steps=1, guidance=Guidance(3, 3, 2, 0.5, 0.5)).video
    torch.testing.assert_close(together, neutral + sum(parts), atol=1e-3, rtol=1e-4)


def test_bad_input_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(ValueError, match="text is empty"):
        pipeline.generate("  ")
    with pytest.raises(ValueError, match="seconds"):
        generate(pipeline, seconds=-1)
    with pytest.raises(VoiceError, match="silent"):
        generate(pipeline, voice=(torch.zeros(1, 48000), 16000))


def test_the_command_line_writes_a_clip_and_explains_errors(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "clip.mp4"
    assert main(["generate", TEXT, "--checkpoint", str(checkpoint), "--out", str(out), "--seconds", "0.6", "--steps", "2"]) == 0
    assert out.stat().st_size > 1000
    assert main(["generate", "", "--checkpoint", str(checkpoint), "--out", str(tmp_path / "no.mp4")]) == 1
    assert main(["generate", TEXT, "--checkpoint", str(tmp_path / "none.safetensors")]) == 1
    assert main(["generate", TEXT, "--checkpoint", str(checkpoint), "--voice", str(checkpoint), "--out", str(tmp_path / "no.mp4")]) == 1
    for wrong in (["--steps", "0"], ["--sync-scale", "-3"], ["--device", "nowhere"], ["--out", str(tmp_path / "no.avi")]):
        assert main(["generate", TEXT, "--checkpoint", str(checkpoint), "--out", str(tmp_path / "no.mp4"), *wrong]) == 1
    errors = capsys.readouterr().err
    assert "at least one step" in errors
    assert "cannot use the device 'nowhere'" in errors
    assert "choose one of mp4, webm" in errors
    assert "guidance scales are not negative, got sync -3" in errors
    assert "the text is empty" in errors
    assert "no such file" in errors
    assert "holds no sound that can be read" in errors
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]
    assert main(["info", str(checkpoint)]) == 0


def test_a_script_of_any_length(pipeline: Pipeline) -> None:
    """Stretches of one second each; the first picture is the portrait's, the same seed the same clip."""
    script = Script("One bird sings. Two small cats sleep here. We all walk.", "a woman")
    done = []
    given = {"voice": VOICE, "steps": 2, "context": 0.35}
    long = generate_long(pipeline, script, portrait=PORTRAIT, on_part=lambda *count: done.append(count), **given)
    assert len(long.lines) == len(long.starts) == len(done) > 2
    assert list(long.starts) == sorted(set(long.starts))
    (clip,) = long.clips
    assert clip.clip.seconds > 1.5
    assert clip.waveform.shape == (1, clip.clip.samples)
    assert sum(len(chunk) for chunk in clip.frames()) == clip.clip.frames
    assert torch.equal(clip.video[:, :, 0], generate(pipeline).video[:, :, 0])
    other = generate_long(pipeline, script, portrait=1 - PORTRAIT, **given)
    assert not torch.equal(clip.video[:, :, -1], other.clips[0].video[:, :, -1])


def test_two_people_take_turns(pipeline: Pipeline) -> None:
    """One sound, a picture for each; the first line's speaker moves as in a clip of that line alone, and both have their portrait."""
    people = [Person("a woman", PORTRAIT, VOICE), Person("a man", 1 - PORTRAIT, VOICE)]
    lines = dialogue("A: One bird sings.\nB: Two small cats sleep.")[0]
    talk = generate_dialogue(pipeline, people, lines, steps=2, context=0.35)
    a, b = talk.clips
    assert len(talk.starts) == len(talk.lines) == 2
    assert a.clip == b.clip
    assert torch.equal(a.waveform, b.waveform)
    alone = generate_long(pipeline, Script(lines[0].speech, "a woman"), portrait=PORTRAIT, voice=VOICE, steps=2).clips[0]
    first = alone.video.shape[2] - 1  # the last latent is faded into the next line
    assert torch.equal(a.video[:, :, :first], alone.video[:, :, :first])
    assert not torch.equal(b.video[:, :, 0], a.video[:, :, 0])


def test_the_command_speaks_a_script(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "script.txt").write_text("One bird sings.\nTwo small cats sleep here.", encoding="utf-8")
    command = ["generate", "a woman", "--script", str(tmp_path / "script.txt"), "--checkpoint", str(checkpoint), "--steps", "1"]
    assert main([*command, "--out", str(tmp_path / "long.mp4")]) == 0
    assert (tmp_path / "long.mp4").stat().st_size > 1000
    assert main([*command, "--seconds", "2"]) == 1
    assert "does not go with --script" in capsys.readouterr().err
