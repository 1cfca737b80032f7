"""The main job in the real host: what is saved, what plugs in where, and what bad input leads to."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from scripts.comfy_client import Prompt
from scripts.host import ROOT
from tests.server import graphs
from tests.server.graphs import CHECKPOINT, main_job, write_wave
from tests.server.harness import ComfyServer

TEMPLATE = ROOT / "workflows" / "api" / "unitalking_nano_talking_portrait.json"
FRAMES = 13  # of the main job on the random model: 0.6 s at 24 fps, on the grid
DIGITAL_SOURCE = b"digitalsourcetype/trainedAlgorithmicMedia"


def test_the_shipped_workflow_runs_unedited(studio: ComfyServer) -> None:
    """Nano, the example portrait and voice: a playable clip whose streams are exactly as long as the timeline says."""
    run = studio.queue(json.loads(TEMPLATE.read_text()))
    assert run.ok, run.explain()
    file = studio.files(run)[0]  # the voice that was kept is played too
    assert file.suffix == ".mp4"
    with av.open(str(file)) as clip:
        video, audio = clip.streams.video[0], clip.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt, audio.codec_context.name) == ("h264", "yuv420p", "aac")
        assert video.average_rate == 24
        assert (video.width, video.height) == (128, 128)
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    with av.open(str(file)) as clip:
        sound = np.concatenate([frame.to_ndarray() for frame in clip.decode(audio=0)], axis=1)
        rate = clip.streams.audio[0].rate
    assert len(frames) == 49
    assert rate == 16000
    assert abs(sound.shape[1] - round(Fraction(49, 24) * 16000)) <= 1024
    assert np.sqrt(np.mean(sound**2)) > 1e-3, "the clip must not be silent"
    portrait = Image.open(studio.base / "input" / "unitalking_portrait_woman.png").convert("RGB").resize((128, 128))
    assert np.abs(frames[0].astype(float) - np.asarray(portrait, float)).mean() < 16, "the clip begins with the portrait"
    assert np.abs(np.diff(np.stack(frames).astype(float), axis=0)).mean() > 0.1, "something moves"


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_the_saved_file_carries_graph_and_mark(studio: ComfyServer, ending: str) -> None:
    prompt = main_job()
    prompt["10"]["inputs"]["format"] = ending
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    file = studio.files(run)[0]  # the voice that was kept is played too
    with av.open(str(file)) as clip:
        tags = {key.lower(): value for key, value in clip.metadata.items()}
        assert len(list(clip.decode(video=0))) == FRAMES
    assert json.loads(tags["prompt"])["8"]["class_type"] == "JointFlowSampler"
    assert DIGITAL_SOURCE in file.read_bytes()
    assert not [p for p in file.parent.iterdir() if p.name.startswith(".")], "nothing temporary is left"


def test_outputs_plug_into_core_nodes(studio: ComfyServer) -> None:
    """IMAGE and AUDIO are decoded when they are linked, also when that happens after a run without them."""
    prompt = main_job()
    prompt["8"]["inputs"]["seed"] = 11
    assert studio.queue(copy.deepcopy(prompt)).ok
    prompt["11"] = {"class_type": "SaveVideo", "inputs": {"video": ["9", 0], "filename_prefix": "core", "format": "mp4", "codec": "h264"}}
    prompt["12"] = {"class_type": "PreviewImage", "inputs": {"images": ["9", 1]}}
    prompt["13"] = {"class_type": "PreviewAudio", "inputs": {"audio": ["9", 2]}}
    run = studio.queue(copy.deepcopy(prompt))
    assert run.ok, run.explain()
    assert "8" in run.cached, "linking more outputs decodes again but does not sample again"
    kinds = [Path(f["filename"]).suffix for f in run.files()]
    assert kinds.count(".png") == FRAMES
    assert ".mp4" in kinds
    assert any(kind in kinds for kind in (".flac", ".mp3", ".opus"))
    core = next(f for f in studio.files(run) if f.name.startswith("core"))
    assert DIGITAL_SOURCE in core.read_bytes(), "core's SaveVideo writes the mark too"


def test_a_slice_of_a_clip_stays_marked(studio: ComfyServer) -> None:
    prompt = main_job()
    slice_of = {"video": ["9", 0], "start_time": 0.1, "duration": 0.3, "strict_duration": False}
    prompt["11"] = {"class_type": "Video Slice", "inputs": slice_of}
    prompt["12"] = {"class_type": "SaveVideo", "inputs": {"video": ["11", 0], "filename_prefix": "slice", "format": "mp4", "codec": "h264"}}
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    part = next(f for f in studio.files(run) if f.name.startswith("slice"))
    with av.open(str(part)) as clip:
        assert 5 <= len(list(clip.decode(video=0))) <= 9
    assert DIGITAL_SOURCE in part.read_bytes()


def test_core_decoders_work_on_the_streams(studio: ComfyServer) -> None:
    prompt = main_job()
    del prompt["9"], prompt["10"]
    prompt["20"] = {"class_type": "LTXVSeparateAVLatent", "inputs": {"av_latent": ["8", 0]}}
    prompt["21"] = {"class_type": "VAEDecode", "inputs": {"samples": ["20", 0], "vae": ["1", 2]}}
    prompt["22"] = {"class_type": "VAEDecodeAudio", "inputs": {"samples": ["20", 1], "vae": ["1", 3]}}
    prompt["23"] = {"class_type": "PreviewImage", "inputs": {"images": ["21", 0]}}
    prompt["24"] = {"class_type": "PreviewAudio", "inputs": {"audio": ["22", 0]}}
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    assert sum(f.suffix == ".png" for f in studio.files(run)) == FRAMES


def test_any_video_can_be_saved(studio: ComfyServer) -> None:
    """SaveTalkingVideo takes core's VIDEO as well."""
    run = studio.queue({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 65, "height": 47, "batch_size": 30, "color": 0xFF0000}},
        "3": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 25.0}},
        "4": {"class_type": "SaveTalkingVideo", "inputs": {"video": ["3", 0],
              "filename_prefix": "any", "format": "mp4", "quality": "small"}},
    })  # fmt: skip
    assert run.ok, run.explain()
    with av.open(str(studio.files(run)[0])) as clip:
        assert len(list(clip.decode(video=0))) == 30


def test_a_server_with_previews_and_without_metadata(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Pictures of both streams' unfinished work arrive while sampling; the graph stays out of the file, the mark does not."""
    server = ComfyServer(tmp_path_factory.mktemp("private"))
    graphs.furnish(server)
    previews = []
    server.start(["--cpu", "--disable-metadata", "--preview-method", "latent2rgb"])
    try:
        prompt = main_job()
        prompt["8"]["inputs"]["steps"] = 12
        run = server.queue(prompt, lambda kind, data: previews.append(data["content"]) if kind == "preview" else None)
        assert run.ok, run.explain()
        content = server.files(run)[0].read_bytes()
    finally:
        server.stop()
    assert b"JointFlowSampler" not in content
    assert DIGITAL_SOURCE in content
    pictures = [Image.open(io.BytesIO(p[p.index(b"\xff\xd8") :])) for p in previews if b"\xff\xd8" in p]
    assert pictures, "no preview arrived"
    assert pictures[-1].width == pictures[-1].height


def _set(node: str, **inputs: object) -> Callable[[Prompt], None]:
    return lambda prompt: prompt[node]["inputs"].update(inputs)


def _drop(node: str, name: str) -> Callable[[Prompt], None]:
    return lambda prompt: prompt[node]["inputs"].pop(name)


def _foreign_latent(prompt: Prompt) -> None:
    prompt["20"] = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    prompt["8"]["inputs"]["latent"] = ["20", 0]


def _third_of_two_portraits(prompt: Prompt) -> None:
    prompt["20"] = {"class_type": "RepeatImageBatch", "inputs": {"image": ["2", 0], "amount": 2}}
    prompt["7"]["inputs"] |= {"image": ["20", 0], "picture": 2}


def _empty_sound(prompt: Prompt) -> None:
    prompt["20"] = {"class_type": "EmptyAudio", "inputs": {"duration": 3.0, "sample_rate": 44100, "channels": 2}}
    prompt["6"]["inputs"]["audio"] = ["20", 0]


BAD_INPUT: dict[str, tuple[Callable[[Prompt], None], str, str]] = {
    "no portrait": (_drop("7", "image"), "EncodePortrait", "image"),
    "a portrait that is not there": (_set("2", image="nobody.png"), "LoadImage", "nobody.png"),
    "a text file as portrait": (_set("2", image="words.png"), "LoadImage", "words.png"),
    "a tiny portrait": (_set("2", image="tiny.png"), "EncodePortrait", "5x4 pixels"),
    "the third of two portraits": (_third_of_two_portraits, "EncodePortrait", "picture 2 was asked for, 2 came in"),
    "empty text": (_set("4", text="   "), "JointFlowSampler", "positive prompt is empty"),
    "a text too long": (_set("4", text="word " * 200), "CLIPTextEncode", "at most 64"),
    "a silent voice": (_empty_sound, "EncodeReferenceVoice", "silent"),
    "a voice of 0.1 s": (_set("3", audio="short.wav"), "EncodeReferenceVoice", "only 0.10 s long"),
    "a voice that is no sound": (_set("3", audio="words.wav"), "LoadAudio", ""),
    "a checkpoint that is not there": (_set("1", checkpoint="none.safetensors"), "LoadUniTalkingModel", "none.safetensors"),
    "a checkpoint of another model": (_set("1", checkpoint="wan.safetensors"), "LoadUniTalkingModel", "this is a part of a Wan model"),
    "a broken checkpoint": (_set("1", checkpoint="broken.safetensors"), "LoadUniTalkingModel", "is cut off"),
    "a clip of no length": (_set("7", seconds=0.0), "EncodePortrait", "seconds"),
    "the wrong VAE for the portrait": (_set("7", vae=["1", 3]), "EncodePortrait", "VAE"),
    "the wrong VAE for the voice": (_set("6", audio_vae=["1", 2]), "EncodeReferenceVoice", "fourth"),
    "the VAEs exchanged at the decoder": (_set("9", vae=["1", 3], audio_vae=["1", 2]), "DecodeAV", "audio VAE"),
    "a latent of another kind": (_foreign_latent, "JointFlowSampler", "not one of UniTalking's"),
    "a folder outside the output folder": (_set("10", filename_prefix="../../up"), "SaveTalkingVideo", "outside"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_named_and_the_server_lives_on(studio: ComfyServer, case: str) -> None:
    change, node, message = BAD_INPUT[case]
    inputs, models, output = studio.base / "input", studio.base / "models" / "unitalking", studio.base / "output"
    Image.new("RGB", (5, 4)).save(inputs / "tiny.png")
    (inputs / "words.png").write_text("not a picture")
    (inputs / "words.wav").write_text("not a sound")
    write_wave(inputs / "short.wav", 0.3 * torch.randn(2205), 22050)
    save_file({"head.modulation": torch.ones(1, 2, 4)}, models / "wan.safetensors")
    (models / "broken.safetensors").write_bytes((models / CHECKPOINT).read_bytes()[:5000])
    before = {p for p in output.rglob("*") if p.is_file()}

    prompt = main_job()
    change(prompt)
    run = studio.queue(prompt)
    assert run.status in ("error", "rejected"), case
    assert node in run.explain()
    assert message in run.explain()
    assert {p for p in output.rglob("*") if p.is_file()} == before, "nothing half-made is left behind"
    assert studio.running


def test_after_all_that_the_main_job_still_runs(studio: ComfyServer) -> None:
    run = studio.queue(main_job())
    assert run.ok, run.explain()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (100, 60), (64, 128)])
def test_odd_sizes_are_snapped(studio: ComfyServer, width: int, height: int) -> None:
    prompt = main_job()
    prompt["7"]["inputs"] |= {"width": width, "height": height}
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    with av.open(str(studio.files(run)[0])) as clip:
        video = clip.streams.video[0]
        assert video.width % 32 == video.height % 32 == 0
        assert abs(video.width - max(width, 32)) <= 16
