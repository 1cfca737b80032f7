"""Each shipped workflow, run unedited by its API twin: what it saves or plays is probed by another reader than the writer."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest

from scripts import templates
from scripts.host import ROOT
from scripts.thumbnails import prompt_of
from tests.server.harness import ComfyServer
from tests.server.scaled import write_scaled
from tests.server.test_tasks import probe

TWINS = ROOT / "workflows" / "api"
MAIN = "unitalking_nano_talking_portrait"  # test_road looks at it more closely
NAMES = sorted(path.stem for path in TWINS.glob("*.json") if not path.stem.startswith(templates.NAVA))  # test_nava has those
FULL_SIZE = [name for name in NAMES if name.startswith(templates.FULL_SIZE)]
OTHERS = [name for name in NAMES if name not in (MAIN, *FULL_SIZE)]
CLIPS = {"unitalking_nano_dub_a_clip": (49, 256), "unitalking_nano_speak_given_audio": (49, 128)}
"""Frames and width where they are given."""
MOUTH = {"x": 44, "y": 78, "width": 40, "height": 28}
"""Of the example portrait of a woman, in 128 x 128."""


def test_every_template_has_its_twin() -> None:
    assert sorted(path.stem for path in (ROOT / "workflows").glob("*.json")) == sorted(path.stem for path in TWINS.glob("*.json"))


def test_the_examples_are_in_the_input_folder(studio: ComfyServer) -> None:
    """Each once: the note beside them names what was copied, so that a deleted one stays away and a new one comes."""
    folder, shipped = studio.base / "input", ROOT / "models" / "nano" / "examples"
    expected = {f"unitalking_{path.name}" for path in shipped.iterdir() if path.suffix != ".md"}
    assert expected <= {path.name for path in folder.iterdir()}
    assert set((folder / ".unitalking_examples").read_text().split()) == expected


@pytest.mark.parametrize("name", OTHERS)
def test_a_template_runs_unedited(studio: ComfyServer, name: str) -> None:
    run = studio.queue(prompt_of(name))
    assert run.ok, run.explain()
    file = studio.files(run)[0]
    if name == "unitalking_nano_voice_library":
        with av.open(str(studio.files(run)[-1])) as played:
            sound = np.concatenate([frame.to_ndarray().reshape(1, -1) for frame in played.decode(audio=0)], axis=1)
        assert np.sqrt(np.mean(np.square(sound.astype(float)))) > 1e-3
        return
    frames, fps, sound, rate = probe(file)
    assert abs(sound.shape[1] / rate - len(frames) / fps) <= 1 / fps + 1024 / rate  # an AAC frame has 1024 samples
    assert np.sqrt(np.mean(sound**2)) > 1e-3, "the sound is silent"
    assert np.abs(np.diff(np.stack(frames).astype(float), axis=0)).mean() > 0.1, "nothing moves"
    if name in CLIPS:
        assert (len(frames), frames[0].shape[1]) == CLIPS[name]
    if name in ("unitalking_nano_dialogue", "unitalking_nano_two_faces"):
        assert frames[0].shape[:2] == (128, 256)
    if name == "unitalking_nano_long_script":
        assert len(frames) > 2 * 49
    if name == "unitalking_nano_continue_a_clip":
        assert len(frames) > 49 + 24
        assert _difference(frames, ROOT / "models" / "nano" / "examples" / "clip_man.mp4", 40) < 12


def test_sound_looks_at_the_mouth_and_the_mouth_listens(studio: ComfyServer) -> None:
    """At least twice as much as evenly, in the template's own clip, as the node says it of a region."""
    prompt = prompt_of("unitalking_nano_attention_maps")
    size = {side: MOUTH[side] for side in ("width", "height")}
    prompt |= {
        "20": {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 128, "height": 128}},
        "21": {"class_type": "SolidMask", "inputs": {"value": 1.0, **size}},
        "22": {
            "class_type": "MaskComposite",
            "inputs": {"destination": ["20", 0], "source": ["21", 0], "x": MOUTH["x"], "y": MOUTH["y"], "operation": "add"},
        },
    }
    prompt["11"]["inputs"]["region"] = ["22", 0]
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    report = run.outputs["11"]["text"][0]
    shares = [(float(mass), float(area)) for mass, area in re.findall(r"([\d.]+)% of it to the region that is ([\d.]+)% of", report)]
    assert len(shares) == 2, report
    assert all(mass >= 2 * area for mass, area in shares), report


@pytest.mark.parametrize("name", FULL_SIZE)
def test_a_full_size_template_asks_for_its_files_and_runs_with_a_model(studio: ComfyServer, name: str) -> None:
    """As shipped it names the file that is missing; with a model of the same build at an eighth of the width, and shorter, it runs."""
    prompt = prompt_of(name)
    missing = studio.queue(prompt)
    assert not missing.ok
    assert prompt["1"]["inputs"]["checkpoint"] in missing.explain()
    write_scaled(studio.base / "models" / "diffusion_models" / "template_10b.safetensors")
    files = {"checkpoint": "template_10b.safetensors", **dict.fromkeys(("text_encoder", "vae", "audio_codec"), "bundled")}
    prompt["1"]["inputs"] |= files
    prompt["7"]["inputs"]["seconds"] = 1.0
    prompt["8"]["inputs"]["steps"] = 2
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    frames, fps, sound, rate = probe(studio.files(run)[0])
    assert abs(sound.shape[1] / rate - len(frames) / fps) <= 1 / fps + 1024 / rate


def _difference(frames: list[np.ndarray], earlier: Path, count: int) -> float:
    """How far the first frames are from an earlier clip's, which has twice their size."""
    with av.open(str(earlier)) as clip:
        wanted = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)][:count]
    halves = [w.reshape(128, 2, 128, 2, 3).mean((1, 3)) for w in wanted]
    return float(np.abs(np.stack(halves) - np.stack(frames[:count]).astype(float)).mean())
