"""The outside tools on sounds and pictures whose answer is known; each is skipped where it is not installed."""

from __future__ import annotations

import numpy as np
import pytest

from unitalking_core.data.faces import sample_face
from unitalking_core.data.render import render, sample_motion
from unitalking_core.data.speech import available_speakers, utter
from unitalking_core.evaluation.command import TOOLS
from unitalking_core.evaluation.curves import correlation
from unitalking_core.evaluation.metrics.sync import opening_of
from unitalking_core.evaluation.metrics.words import normalise
from unitalking_core.evaluation.recordings import Recording, write_recording
from unitalking_core.evaluation.tools import Place, Tool
from unitalking_core.evaluation.tools.cues import MouthCues
from unitalking_core.evaluation.tools.face import FaceEncoder
from unitalking_core.evaluation.tools.landmarks import Landmarks
from unitalking_core.evaluation.tools.quality import SpeechQuality
from unitalking_core.evaluation.tools.recogniser import Recogniser
from unitalking_core.evaluation.tools.speaker import SpeakerEncoder

PLACE = Place(TOOLS)
FRAMES, FPS = 37, 24.0
WORDS = "the little bird sings by the river"


def here(tool: Tool) -> Tool:
    reason = tool.missing()
    if reason is not None:
        pytest.skip(reason)
    return tool


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, np.ndarray]:
    """A drawn face whose mouth opens twice, and how far it is open, without sound."""
    mouth = np.zeros((FRAMES, 3), np.float32)
    mouth[:, 0] = np.clip(np.sin(np.arange(FRAMES) / 4), 0, 1)
    mouth[:, 1] = 0.4
    path = tmp_path_factory.mktemp("face") / "face.safetensors"
    write_recording(path, render(sample_face(7, "woman"), mouth, sample_motion(1, FRAMES, FPS), 128), np.zeros(100, np.int16))
    return Recording(path), mouth[:, 0].astype(np.float64)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    if not any(speaker.name == "slt" for speaker in available_speakers()):
        pytest.skip("no speech engine: apt-get install flite")
    slt = next(speaker for speaker in available_speakers() if speaker.name == "slt")
    path = tmp_path_factory.mktemp("speech") / "speech.safetensors"
    write_recording(path, None, (utter(slt, WORDS)[0] * 32767).astype(np.int16))
    return Recording(path, WORDS)


def test_landmarks_follow_a_drawn_mouth(talking: tuple[Recording, np.ndarray]) -> None:
    recording, opening = talking
    reading = here(Landmarks(PLACE)).open()(recording)
    assert len(reading["opening"]) == len(reading["mouth"]) == FRAMES
    measured = opening_of(reading)
    assert measured is not None
    found = correlation(measured, opening)
    assert found is not None and found > 0.85
    left, top, right, bottom = reading["mouth"][0]
    assert 0.3 < left < 0.5 < right < 0.7
    assert 0.4 < top < bottom < 0.9


def test_a_face_is_nearest_to_itself(talking: tuple[Recording, np.ndarray]) -> None:
    reading = here(FaceEncoder()).open()(talking[0])
    assert np.linalg.norm(np.subtract(reading["first"], reading["later"])) < 0.35


def test_the_recogniser_hears_the_words(spoken: Recording) -> None:
    assert set(WORDS.split()) - set(normalise(here(Recogniser(PLACE)).open()(spoken))) <= {"by"}


def test_the_speaker_encoder_gives_unit_vectors(spoken: Recording) -> None:
    assert np.linalg.norm(here(SpeakerEncoder()).open()(spoken)) == pytest.approx(1, abs=1e-3)


def test_quality_is_an_opinion(spoken: Recording) -> None:
    scores = here(SpeechQuality()).open()(spoken)
    assert set(scores) == {"overall", "signal", "background", "p808"}
    assert all(1 <= score <= 5 for score in scores.values())


def test_cues_are_closed_before_speech_and_open_in_it(spoken: Recording) -> None:
    cues = here(MouthCues(PLACE)).open()(spoken)
    assert [start for start, _ in cues] == sorted(start for start, _ in cues)
    assert {letter for _, letter in cues} & set("CDE")
    assert {letter for _, letter in cues} <= set("ABCDEFGHX")
