"""Metrics on readings whose figures are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.fakes import KnownReadings, read, test_of
from unitalking_core.evaluation.metrics.closure import LEAST_RANGE, LipClosure, closures
from unitalking_core.evaluation.metrics.identity import SameFace
from unitalking_core.evaluation.metrics.mouth import MouthLikeTruth, MouthMotion
from unitalking_core.evaluation.metrics.picture import fidelity
from unitalking_core.evaluation.metrics.sync import SyncWithCues, opening_of
from unitalking_core.evaluation.metrics.voice import VoiceLikeness, candidates
from unitalking_core.evaluation.metrics.words import WordErrors
from unitalking_core.evaluation.recordings import Recording
from unitalking_core.tasks import TASKS

FPS = 24.0
CLIPS = 8


def landmarks(opening: np.ndarray | list) -> dict:
    return {"opening": list(opening), "mouth": [[0.4, 0.6, 0.6, 0.8]] * len(opening)}


def test_word_errors_are_over_all_words_and_mismatched_words_are_all_wrong() -> None:
    heard = KnownReadings("r", {"ceiling0": "One two.", "ceiling1": "3 4 5", "model0": "one too", "model1": "three four five six"})
    found = WordErrors(heard).measure(test_of("TIR2AV", ["one two", "three four five"], vocabulary=("two", "one", "three")), read)
    errors = found["word_error_rate"]
    assert errors.ceiling.values == [0, 0]
    assert errors.model.values == [1 / 2, 1 / 3]
    assert errors.model.weights == [2, 3]
    assert errors.floor is not None
    assert errors.floor.values == [1, 2]
    assert found["word_error_rate_snapped"].model.values[0] == 0


def test_a_sound_that_was_given_is_not_judged() -> None:
    tool = KnownReadings("t")
    assert WordErrors(tool).applies(TASKS["T2A"])
    assert not WordErrors(tool).applies(TASKS["A2V"])
    assert not VoiceLikeness(tool).applies(TASKS["T2AV"])
    assert LipClosure(tool, tool).applies(TASKS["TV2A"])
    assert not LipClosure(tool, tool).applies(TASKS["T2A"])
    assert not SameFace(tool).applies(TASKS["TV2A"])
    assert MouthLikeTruth(tool).applies(TASKS["A2V"])
    assert not MouthLikeTruth(tool).applies(TASKS["TIR2AV"])


def test_a_speaker_is_picked_by_other_recordings_than_the_reference() -> None:
    """Three unseen speakers on three axes; the second clip's model sounds like the first speaker. The references themselves mislead."""
    axis = np.eye(3).tolist()
    voices = {name: (Recording(Path(f"voice{i}")), Recording(Path(f"more{i}"))) for i, name in enumerate("abc")}
    table = {f"{kind}{i}": axis[i] for kind in ("ceiling", "model", "more") for i in range(3)}
    table |= {f"voice{i}": axis[(i + 1) % 3] for i in range(3)} | {"model1": axis[0]}
    test = test_of("TIR2AV", ["x"] * 3, "abc", voices=voices, unseen=frozenset("ab"))
    found = VoiceLikeness(KnownReadings("e", table)).measure(test, read)
    assert found["voice_top1_of_all"].ceiling.values == [1, 1, None]
    assert found["voice_top1_of_all"].model.values == [1, 0, None]
    assert found["voice_top1_of_10"].model.values == [1, 0, None]
    assert found["speaker_similarity"].ceiling.values == [0, 0, 0]
    assert found["speaker_similarity_unseen"].ceiling.values == [0, 0, None]


def test_candidates_are_the_speaker_and_others() -> None:
    pool = [f"s{i}" for i in range(30)]
    chosen = candidates("s3", pool, 10, "clip")
    assert chosen[0] == "s3"
    assert len(set(chosen)) == 10
    assert chosen == candidates("s3", pool, 10, "clip")
    assert set(candidates("s3", pool[:4], 10, "clip")) == set(pool[:4])


def sounds_and_mouths(late: int) -> tuple[KnownReadings, KnownReadings]:
    """Random cues per clip; the ceiling's mouth follows them at once, the model's `late` frames later."""
    from unitalking_core.evaluation.curves import opening_of_cues

    cues, mouths = {}, {}
    for i in range(CLIPS):
        rng = np.random.default_rng(i)
        cues[f"ceiling{i}"] = cues[f"model{i}"] = [(0.13 * k, "ABCDEFGHX"[rng.integers(9)]) for k in range(16)]
        for kind, shift in (("ceiling", 0), ("model", late)):
            shifted = [(start + shift / FPS, letter) for start, letter in cues[f"ceiling{i}"]]
            mouths[f"{kind}{i}"] = landmarks(0.02 + 0.2 * opening_of_cues(shifted, 49, FPS))
    return KnownReadings("cues", cues), KnownReadings("landmarks", mouths)


def test_a_picture_three_frames_late_has_a_lag_of_three() -> None:
    cues, mouths = sounds_and_mouths(3)
    found = SyncWithCues(mouths, cues).measure(test_of("TIR2AV", ["x"] * CLIPS), read)
    assert found["lag_cues"].ceiling.values == [0] * CLIPS
    assert found["lag_cues"].model.values == [3] * CLIPS
    assert found["lag_cues_within_1"].ceiling.values == [1] * CLIPS
    assert found["lag_cues_within_1"].model.values == [0] * CLIPS
    assert found["sync_cues"].ceiling.values == pytest.approx([1] * CLIPS)
    gains = found["sync_cues_gain"]
    assert np.mean(gains.ceiling.values) > 0.6
    assert np.mean(gains.ceiling.values) > 0.3 + np.mean(gains.model.values)


def test_a_face_that_was_lost_for_a_frame_is_filled_in() -> None:
    opening = opening_of(landmarks([0.1, None, 0.3, None]))
    assert opening is not None
    assert opening == pytest.approx([0.1, 0.2, 0.3, 0.3])
    assert opening_of(None) is None


def mouth_that_closes(*closed: int, frames: int = 49) -> np.ndarray:
    opening = np.full(frames, 0.2)
    opening[list(closed)] = 0.01
    opening[:4] = opening[-4:] = 0.01
    return opening


def test_bilabials_are_closed_when_the_lips_meet_within_two_frames_of_time() -> None:
    phones = [(10 / FPS, 11 / FPS, "B"), (20 / FPS, 21 / FPS, "P"), (30 / FPS, 31 / FPS, "AA"), (35 / FPS, 36 / FPS, "M")]
    assert closures(mouth_that_closes(10, 20, 35), phones, FPS) == (3, 3)
    assert closures(mouth_that_closes(10, 30), phones, FPS) == (1, 3)
    assert closures(mouth_that_closes(23), phones, FPS) == (0, 3)


def test_forty_milliseconds_are_the_limit() -> None:
    fps = 100.0
    opening = mouth_that_closes(50, frames=101)
    assert closures(opening, [(0.531, 0.6, "M")], fps) == (1, 1)
    assert closures(opening, [(0.541, 0.6, "M")], fps) == (0, 1)


def test_a_mouth_that_does_not_move_closes_nothing() -> None:
    still = 0.1 + 0.4 * LEAST_RANGE * np.sin(np.arange(49))
    assert closures(still, [(0.1, 1.9, "M")], FPS) == (0, 1)


def test_closures_are_counted_against_another_clips_phones_too() -> None:
    mouths = KnownReadings("l", {f"{k}{i}": landmarks(mouth_that_closes((10, 30)[i])) for k in ("ceiling", "model") for i in range(2)})
    phones = KnownReadings("a", {f"{k}{i}": [[(10, 30)[i] / FPS, (11, 31)[i] / FPS, "P"]] for k in ("ceiling", "model") for i in range(2)})
    found = LipClosure(mouths, phones).measure(test_of("TIR2AV", ["x", "y"]), read)["lips_closed"]
    assert found.model.values == [1, 1]
    assert found.model.weights == [1, 1]
    assert found.floor is not None
    assert found.floor.values == [0, 0]


def test_a_given_sound_calls_for_the_true_mouth() -> None:
    rng = np.random.default_rng(0)
    curves = [rng.uniform(0, 0.3, 49) for _ in range(3)]
    table = {
        f"{kind}{i}": landmarks(scale * curve)
        for i, curve in enumerate(curves)
        for kind, scale in (("truth", 1), ("ceiling", 0.9), ("model", 0.5))
    }
    found = MouthLikeTruth(KnownReadings("l", table)).measure(test_of("A2V", ["x"] * 3), read)
    assert found["mouth_like_truth"].model.values == pytest.approx([1] * 3)
    assert found["mouth_like_truth"].floor is not None
    assert max(found["mouth_like_truth"].floor.values) < 0.5
    assert found["mouth_range_ratio"].ceiling.values == pytest.approx([0.9] * 3)
    assert found["mouth_range_ratio"].model.values == pytest.approx([0.5] * 3)
    motion = MouthMotion(KnownReadings("l", table)).measure(test_of("A2V", ["x"] * 3), read)["mouth_range"]
    assert np.divide(motion.model.values, motion.ceiling.values) == pytest.approx([5 / 9] * 3)


def test_the_portrait_is_picked_by_the_face() -> None:
    axis = np.eye(4).tolist()
    table = {f"{k}{i}": {"first": axis[i], "later": axis[i]} for k in ("truth", "ceiling", "model") for i in range(4)}
    table["model2"] = {"first": axis[2], "later": axis[3]}
    table["model3"] = None
    found = SameFace(KnownReadings("f", table)).measure(test_of("TIR2AV", ["x"] * 4), read)
    assert found["face_top1_of_10"].ceiling.values == [1, 1, 1, 1]
    assert found["face_top1_of_10"].model.values == [1, 1, 0, None]
    assert found["face_distance"].model.values[:3] == pytest.approx([0, 0, np.sqrt(2)])


def test_fidelity_of_a_known_error() -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed: pip install -e '.[evaluate]'")
    truth = np.full((2, 64, 64, 3), 100, np.uint8)
    made = truth.copy()
    made[:, 40:60, 20:44] = 110
    box = [[20 / 64, 40 / 64, 40 / 64, 59 / 64]] * 2
    psnr, ssim, psnr_mouth, ssim_mouth = fidelity(truth, made, box)
    assert psnr == pytest.approx(10 * np.log10(255**2 / (100 * 20 * 24 / 64**2)))
    assert psnr_mouth is not None and ssim_mouth is not None
    assert psnr_mouth < psnr
    assert ssim_mouth < ssim < 1
    assert fidelity(truth, truth, None) == (100, pytest.approx(1), None, None)
