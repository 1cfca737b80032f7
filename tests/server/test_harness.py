"""The harness itself, proven with core nodes alone: ready, runs, tells errors readably, interrupts, survives."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from PIL import Image

from scripts.comfy_client import Prompt
from scripts.console import Problem
from tests.server.harness import ComfyServer


def picture(color: int, size: int = 64, saver: str = "PreviewImage") -> Prompt:
    """An image of one colour, shown or saved."""
    image = {"class_type": "EmptyImage", "inputs": {"width": size, "height": size, "batch_size": 1, "color": color}}
    saving = {"filename_prefix": "harness"} if saver == "SaveImage" else {}
    return {"1": image, "2": {"class_type": saver, "inputs": {"images": ["1", 0], **saving}}}


def test_server_is_ready_and_describes_its_nodes(comfy: ComfyServer) -> None:
    assert comfy.running
    assert {"KSampler", "LoadImage", "SaveVideo"} <= comfy.object_info().keys()
    assert comfy.object_info("EmptyImage")["EmptyImage"]["output"] == ["IMAGE"]
    assert "To see the GUI go to" in comfy.log


def test_preview_comes_out_with_a_time_for_every_node(comfy: ComfyServer) -> None:
    events = []
    run = comfy.queue(picture(0x102030), on_event=lambda kind, data: events.append(kind))
    assert run.ok, run.explain()
    assert list(run.seconds) == ["1", "2"]
    assert all(seconds >= 0 for seconds in run.seconds.values())
    assert {"execution_start", "executing", "executed", "execution_success"} <= set(events)
    [file] = comfy.files(run)
    assert file.parent == comfy.base / "temp"
    assert Image.open(file).getpixel((5, 5)) == (0x10, 0x20, 0x30)


def test_saved_file_lies_in_the_base_directory(comfy: ComfyServer) -> None:
    run = comfy.queue(picture(0xFF0000, saver="SaveImage"))
    [file] = comfy.files(run)
    assert file.parent == comfy.base / "output"
    assert "prompt" in Image.open(file).text


def test_equal_prompt_is_cached(comfy: ComfyServer) -> None:
    comfy.queue(picture(0x00FF00))
    again = comfy.queue(picture(0x00FF00))
    assert again.ok
    assert "1" in again.cached
    assert "1" not in again.seconds
    assert again.files()


def test_upload_is_found_by_the_loader(comfy: ComfyServer, tmp_path: Path) -> None:
    source = tmp_path / "mein Porträt.png"
    Image.new("RGB", (48, 32), (1, 2, 3)).save(source)
    name = comfy.upload(source)
    run = comfy.queue(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": name}},
            "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        }
    )
    assert run.ok, run.explain()
    shown = Image.open(comfy.files(run)[0])
    assert shown.size == (48, 32)
    assert shown.getpixel((0, 0)) == (1, 2, 3)


def test_video_with_sound_is_written(comfy: ComfyServer) -> None:
    run = comfy.queue(
        {
            "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 12, "color": 255}},
            "2": {"class_type": "EmptyAudio", "inputs": {"duration": 0.5, "sample_rate": 16000, "channels": 1}},
            "3": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "audio": ["2", 0], "fps": 24.0}},
            "4": {
                "class_type": "SaveVideo",
                "inputs": {"video": ["3", 0], "filename_prefix": "v/harness", "format": "mp4", "codec": "h264"},
            },
        }
    )
    assert run.ok, run.explain()
    with av.open(str(comfy.files(run)[0])) as clip:
        assert [stream.type for stream in clip.streams] == ["video", "audio"]
        assert sum(1 for _ in clip.decode(video=0)) == 12


def test_rejected_prompt_names_node_and_input(comfy: ComfyServer) -> None:
    prompt = picture(1)
    prompt["1"]["inputs"]["width"] = -5
    run = comfy.queue(prompt)
    assert run.status == "rejected"
    assert "EmptyImage (node 1)" in run.explain()
    assert "width" in run.explain()


@pytest.mark.parametrize("prompt", [{}, {"1": {"class_type": "NoSuchNode", "inputs": {}}}])
def test_senseless_prompt_is_explained(comfy: ComfyServer, prompt: Prompt) -> None:
    run = comfy.queue(prompt)
    assert run.status == "rejected"
    assert len(run.explain()) > len("rejected")
    assert "NoSuchNode" in run.explain() or not prompt


def test_error_while_executing_names_the_node_and_the_server_lives_on(comfy: ComfyServer) -> None:
    prompt = picture(7)
    prompt["5"] = {"class_type": "LoadLatent", "inputs": {"latent": "broken.latent"}}
    prompt["6"] = {"class_type": "SaveLatent", "inputs": {"samples": ["5", 0], "filename_prefix": "x"}}
    (comfy.base / "input" / "broken.latent").write_bytes(b"not a latent")
    run = comfy.queue(prompt)
    assert run.status == "error"
    assert list(run.errors) == ["5"]
    assert run.explain().startswith("LoadLatent (node 5): ")
    assert comfy.running
    assert comfy.queue(picture(8)).ok


def test_interrupt_stops_the_run_and_the_next_one_works(comfy: ComfyServer) -> None:
    prompt = picture(9, size=1024)
    for node in range(3, 13):
        blur = {"image": [str(node - 1) if node > 3 else "1", 0], "blur_radius": 15, "sigma": 3.0}
        prompt[str(node)] = {"class_type": "ImageBlur", "inputs": blur}
    prompt["2"]["inputs"]["images"] = ["12", 0]
    started: list[str] = []

    def stop_at_second_blur(kind: str, data: dict) -> None:
        if kind == "executing" and data["node"]:
            started.append(data["node"])
            if data["node"] == "4":
                comfy.interrupt()

    run = comfy.queue(prompt, stop_at_second_blur)
    assert run.status == "interrupted"
    assert "4" in started
    assert "2" not in started
    assert not run.files()
    assert comfy.queue(picture(10)).ok


@pytest.mark.slow
def test_server_that_cannot_start_shows_its_last_words(tmp_path: Path) -> None:
    server = ComfyServer(tmp_path / "base")
    with pytest.raises(Problem, match="unrecognized arguments"):
        server.start(["--no-such-argument"])
    assert not server.running


@pytest.mark.slow
def test_pack_is_loaded_through_its_link_and_stop_ends_the_process(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "__init__.py").write_text("import logging\nlogging.warning('pack under test was imported')\nNODE_CLASS_MAPPINGS = {}\n")
    server = ComfyServer(tmp_path / "base", pack=pack).start()
    try:
        assert "pack under test was imported" in server.log
        assert "IMPORT FAILED" not in server.log
    finally:
        server.stop()
    assert not server.running
    with pytest.raises(Problem, match="no answer"):
        server.object_info()
