"""What Save Talking Video tells its player about a clip, and what the prompt node's line is made of."""

from __future__ import annotations

import av
import pytest

from tests.server.graphs import main_job
from tests.server.harness import ComfyServer


def test_a_saved_clip_is_measured(studio: ComfyServer) -> None:
    run = studio.queue(main_job())
    assert run.ok, run.explain()
    shown = run.outputs["10"]
    (clip,) = shown["unitalking"]
    with av.open(str(studio.files(run)[0])) as file:
        frames = sum(1 for _ in file.decode(video=0))
    assert clip["frames"] == len(clip["mouth"]) == frames
    assert clip["fps"] == 24
    assert len(clip["peaks"]) <= 400
    assert max(clip["peaks"]) == 1
    assert min(clip["mouth"]) >= 0
    assert max(clip["mouth"]) == 1
    assert 0 <= clip["correlation"] <= 1
    assert clip["offset"] is None or abs(clip["offset"]) <= 0.4
    assert shown["images"][0]["filename"].endswith(".mp4"), "and the host shows it to everybody else"


def test_a_clip_without_sound_is_too(studio: ComfyServer) -> None:
    prompt = main_job()
    prompt["20"] = {"class_type": "CreateVideo", "inputs": {"images": ["9", 1], "fps": 24.0}}
    prompt["10"]["inputs"]["video"] = ["20", 0]
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    (clip,) = run.outputs["10"]["unitalking"]
    assert clip["peaks"] is clip["correlation"] is clip["offset"] is None
    assert len(clip["mouth"]) == clip["frames"]


@pytest.mark.parametrize(
    ("speech", "seconds", "fits"),
    [("the red bird sings", 2.0, "well"), ("the red bird sings " * 5, 2.0, "short"), ("hi", 9.0, "long"), ("the bird sings", 0, "well")],
)
def test_whether_words_fit(studio: ComfyServer, speech: str, seconds: float, fits: str) -> None:
    answer = studio.post("/unitalking/estimate", {"speech": speech, "seconds": seconds})
    assert answer["fits"] == fits
    assert answer["syllables"] > 0


@pytest.mark.parametrize("asked", [{"speech": ""}, {"speech": "<S>half a mark"}, {"speech": "x", "language": "tlh"}, {"pace": "?"}, []])
def test_what_cannot_be_estimated_is_explained_and_is_no_failure(studio: ComfyServer, asked: object) -> None:
    """An HTTP error would stand in the browser's console at every key stroke."""
    assert studio.post("/unitalking/estimate", asked)["error"]
