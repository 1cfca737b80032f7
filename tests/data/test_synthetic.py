"""The corpus: complete clips, splits held apart, the same again from the same seed, resumable, clear when something is missing."""

import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from unitalking_core import cli, presets
from unitalking_core.data import engines, speech
from unitalking_core.data.captions import LONGEST, caption
from unitalking_core.data.later_faces import give_faces
from unitalking_core.data.sentences import split_of
from unitalking_core.data.speech import SPEAKERS, SpeechError, align, available_speakers, say, utter
from unitalking_core.data.synthetic import Corpus, jobs, prepare
from unitalking_core.data.utterances import BLENDS_APART, blend_speaks
from unitalking_core.training.corpus import read_clip_pixels, read_manifest, read_many_pixels

SETTINGS = {"clips": 4, "heldout": 2, "audio_clips": 2, "strangers": 2, "seed": 5, "workers": 1, "height": 48, "voices_per_speaker": 1}


@pytest.fixture(scope="module", autouse=True)
def _few_speakers() -> Iterator[None]:
    """One speaker of each engine, split and shift: a corpus of all of them would spend minutes on their reference recordings."""
    kinds = {(speaker.engine, speaker.split): speaker for speaker in reversed(SPEAKERS) if speaker.shift == 1.0}
    shifted = next(speaker for speaker in SPEAKERS if speaker.shift != 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speech, "SPEAKERS", (*kinds.values(), shifted))
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not available_speakers("train"):
        pytest.skip("no speech engine is installed at all (apt-get install flite)")
    pytest.importorskip("pocketsphinx", reason="the aligner is not installed (pip install pocketsphinx)")
    out = tmp_path_factory.mktemp("corpus")
    prepare(out, **SETTINGS)
    return out


def _lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def _digest(out: Path, line: dict) -> str:
    return hashlib.sha256((out / line["file"]).read_bytes()).hexdigest()


def test_every_clip_is_whole(corpus: Path) -> None:
    lines = _lines(corpus)
    assert sorted(line["split"] for line in lines) == ["heldout"] * 2 + ["train"] * 4 + ["train_audio"] * 2 + ["train_stranger"] * 2
    for line in lines:
        clip = load_file(corpus / line["file"])
        assert clip["waveform"].dtype == np.int16
        assert len(clip["waveform"]) == 32667 or (len(clip["waveform"]) == 64667 and line["split"] == "train_stranger")
        if line["split"] in ("train_audio", "train_stranger"):
            assert set(clip) == {"waveform"}
        else:
            assert clip["frames"].shape == (49, 48, 48, 3)
            assert clip["mouth"].shape == (49, 3)
            assert clip["mouth"][0, 0] < 0.05
        assert line["text"].startswith(f"<S>{line['words']}<E> a ")
        starts = [phone[0] for phone in line["phones"]]
        assert 0.09 < starts[0] < 0.5
        assert starts == sorted(starts)
        assert line["phones"][-1][1] < line["seconds"]
        sound = clip["waveform"].astype(float) / 32768
        first = round((starts[0] - 0.06) * 16000)
        assert np.sqrt((sound[:first] ** 2).mean()) < 0.002
        assert np.abs(sound[first:]).max() > 0.1
        voice = load_file(corpus / line["voice_file"])["waveform"]
        assert 2.5 * 16000 <= len(voice) <= 4 * 16000
        assert line["voice_file"].startswith(f"voices/{line['speaker']}_")


def test_splits_are_held_apart(corpus: Path) -> None:
    held = {speaker.name for speaker in SPEAKERS if speaker.split == "heldout"}
    for line in _lines(corpus):
        heldout = line["split"] == "heldout"
        assert split_of(line["words"]) == ("heldout" if heldout else "train")
        assert line.get("face", 0) % 2 == int(heldout)
        assert (line["speaker"] in held) == ("speaker" in line.get("heldout", ()))


def test_an_interrupted_corpus_goes_on_to_the_same_result(corpus: Path, tmp_path: Path) -> None:
    whole = _lines(corpus)
    prepare(tmp_path, **SETTINGS)
    manifest = tmp_path / "manifest.jsonl"
    kept = manifest.read_text().splitlines(keepends=True)[:3]
    manifest.write_text("".join(kept) + '{"id": "train-0000')  # the line that was being written
    for line in whole[3:]:
        (tmp_path / line["file"]).unlink()
    prepare(tmp_path, **SETTINGS)
    assert _lines(tmp_path) == whole
    assert [_digest(tmp_path, line) for line in whole] == [_digest(corpus, line) for line in whole]


def test_speech_alone_may_be_added_later(corpus: Path, tmp_path: Path) -> None:
    prepare(tmp_path, **{**SETTINGS, "audio_clips": 1, "strangers": 0})
    prepare(tmp_path, **SETTINGS)
    assert [line["id"] for line in _lines(tmp_path)] == [line["id"] for line in _lines(corpus)]
    assert [_digest(tmp_path, line) for line in _lines(corpus)] == [_digest(corpus, line) for line in _lines(corpus)]
    with pytest.raises(ValueError, match="audio_clips: 2 there, 1 asked"):
        prepare(tmp_path, **{**SETTINGS, "audio_clips": 1})


def test_blends_need_their_styles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpeechError, match=r"npm pack kokoro-js@1\.2\.1"):
        prepare(tmp_path / "corpus", **{**SETTINGS, "blends": 2})
    assert not (tmp_path / "corpus").exists()
    assert cli.main(["prepare", "synthetic", str(tmp_path / "corpus"), "--clips", "1", "--blends", "2"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("unitalking prepare: mixtures of neural voices are not installed")
    assert told.count("\n") == 1


def test_a_blend_says_two_clips_with_one_reference(tmp_path: Path) -> None:
    if not engines.ENGINES["kokoro_blend"].installed(""):
        pytest.skip("the mixtures of neural voices are not installed")
    corpus = Corpus(0, 0, 0, 5, 49, 97, 0.0, 24.0, 48, 1, (), blends=BLENDS_APART + 1)
    (tmp_path / "voices").mkdir()
    first, other, again = (blend_speaks(tmp_path, corpus, random.Random(i), i) for i in (0, 1, BLENDS_APART))
    assert first.speaker == again.speaker != other.speaker
    assert first.words != again.words
    assert len(list((tmp_path / "voices").iterdir())) == 2


def test_speech_alone_is_given_faces_that_are_drawn_when_read(corpus: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    shutil.copytree(corpus, given)
    before = {line["id"]: line for line in _lines(given)}
    assert give_faces(given) == 4
    assert give_faces(given) == 0
    for line, item in zip(_lines(given), read_manifest(given), strict=True):
        was = before[line["id"]]
        if "drawn" not in line:
            assert line == was
            continue
        assert line["face"] % 2 == 0
        assert line["text"].split(" with ")[0] == was["text"].split(",")[0]
        assert line["text"].rsplit(", ", 2)[1:] == was["text"].rsplit(", ", 2)[1:]
        pixels = read_clip_pixels(given, item)
        assert pixels is not None
        assert pixels.shape == (round(line["seconds"] * 24), 48, 48, 3)
        assert pixels.shape[0] % 4 == 1
        assert pixels.float().std(0).max() > 10  # it speaks
    drawn = [item for item in read_manifest(given) if item.drawing]
    one, two = (list(read_many_pixels(given, drawn, workers)) for workers in (0, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert give_faces(given, again=True) == 4
    assert all("drawn" in line for line in _lines(given) if line["split"] != "heldout")


def test_a_portrait_for_which_a_caption_has_no_room_is_told_briefly() -> None:
    said = ("the dog runs", "a woman with long brown hair", "calm voice", "quiet room")
    assert caption(*said) == "<S>the dog runs<E> a woman with long brown hair, calm voice, quiet room"
    text = caption(said[0], f"a woman with {'very ' * 40}long hair", *said[2:])
    assert text == "<S>the dog runs<E> a woman, calm voice, quiet room"
    assert presets.nano().text.tokens == LONGEST


def test_faces_are_for_synthetic_corpora(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is no synthetic corpus: corpus\.json or manifest\.jsonl is missing"):
        give_faces(tmp_path)
    (tmp_path / "corpus.json").write_text('{"seed": 0, "fps": 24, "height": 48}')
    (tmp_path / "manifest.jsonl").write_text('{"id": "mine", "split": "train", "text": "hello"}\n')
    with pytest.raises(ValueError, match="the clip mine is none that `prepare synthetic` made"):
        give_faces(tmp_path)
    assert "drawn" not in (tmp_path / "manifest.jsonl").read_text()


def test_another_corpus_in_the_folder_is_refused(corpus: Path) -> None:
    with pytest.raises(ValueError, match="seed: 5 there, 6 asked"):
        prepare(corpus, **{**SETTINGS, "seed": 6})


def test_alignment_finds_a_known_delay() -> None:
    if not available_speakers("train"):
        pytest.skip("no speech engine is installed at all (apt-get install flite)")
    pytest.importorskip("pocketsphinx", reason="the aligner is not installed (pip install pocketsphinx)")
    text = "the red bird sings today"
    waveform = say(available_speakers("train")[0], text)
    later = np.concatenate([np.zeros(4800, np.float32), waveform])
    before, after = align(waveform, text), align(later, text)
    assert [phone[2] for phone in before] == [phone[2] for phone in after]
    assert np.median([b[0] - a[0] for a, b in zip(before, after, strict=True)]) == pytest.approx(0.3, abs=0.02)


def test_loudness_is_the_same_for_every_speaker() -> None:
    if not available_speakers():
        pytest.skip("no speech engine is installed at all (apt-get install flite)")
    pytest.importorskip("pocketsphinx", reason="the aligner is not installed (pip install pocketsphinx)")
    for speaker in available_speakers():
        waveform, _ = utter(speaker, "the red bird sings today")
        active = waveform[np.abs(waveform) > 0.05 * np.abs(waveform).max()]
        assert np.sqrt((active**2).mean()) == pytest.approx(speech.ACTIVE_RMS, rel=0.1), speaker.name


def test_held_out_clips_are_spread_and_come_first() -> None:
    order = [job.split for job in jobs(Corpus(90, 10, 5, 0, 49, 81, 0.2, 24.0, 128, 1, ()))]
    assert order[0] == "heldout"
    assert [order[start : start + 10].count("heldout") for start in range(0, 100, 10)] == [1] * 10
    assert order[100:] == ["train_audio"] * 5


def test_missing_engines_say_how_to_install_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engines.shutil, "which", lambda program: None)
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(SpeechError, match="apt-get install flite"):
        prepare(tmp_path, 1)
    with pytest.raises(SpeechError, match="apt-get install rhvoice"):
        say(next(speaker for speaker in SPEAKERS if speaker.engine == "rhvoice"), "hello")


def test_markup_never_reaches_an_engine() -> None:
    with pytest.raises(SpeechError, match="only letters"):
        say(SPEAKERS[0], "<speed level='1'>hello")


def test_a_share_that_is_none_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="between 0 and 1, got 3"):
        prepare(tmp_path / "corpus", **SETTINGS, long_share=3)
    assert not (tmp_path / "corpus").exists()
