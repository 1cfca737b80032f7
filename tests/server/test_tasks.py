"""Every task in the real host: what is given comes back as it was given, on our sampler and on core's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scripts.comfy_client import Prompt
from tests.server.graphs import VOICE, largest_difference, latent_of, main_job, sampled, with_core_sampler, write_wave
from tests.server.harness import ComfyServer
from tests.voices import spoken
from unitalking_core.media import write_clip

SPEECH, FILM = "test_speech.wav", "test_film.mp4"
FILM_FRAMES, FILM_FPS, FILM_SIZE = 25, 30, (112, 80)
SAMPLERS = ("JointFlowSampler", "KSampler", "SamplerCustomAdvanced")


@pytest.fixture(scope="module")
def inputs(studio: ComfyServer) -> Path:
    """A recording of an odd length, and a film of another rate, size and shape than the model's."""
    folder = studio.base / "input"
    write_wave(folder / SPEECH, spoken(0.93, 44100)[0], 44100)
    y, x = np.mgrid[0 : FILM_SIZE[1], 0 : FILM_SIZE[0]]
    frames = np.stack([np.stack([(x + 5 * i) % 256, (y * 3) % 256, (x + y + i) % 256], -1) for i in range(FILM_FRAMES)]).astype(np.uint8)
    write_clip(folder / FILM, [frames], spoken(1, 48000), fps=FILM_FPS, sample_rate=48000)
    return folder


def with_sampler(name: str, kind: str) -> Prompt:
    return sampled(name) if kind == "JointFlowSampler" else with_core_sampler(name, kind)


def insert(prompt: Prompt, node: dict[str, Any], output: int = 0) -> Prompt:
    """The node stands between the latent and whoever takes it."""
    for other in prompt.values():
        for key in ("latent", "latent_image"):
            if other["inputs"].get(key) == ["7", 0]:
                other["inputs"][key] = ["70", output]
    node["inputs"]["latent"] = ["7", 0]
    prompt["70"] = node
    return prompt


def give_speech(prompt: Prompt, **settings: Any) -> Prompt:
    prompt["71"] = {"class_type": "LoadAudio", "inputs": {"audio": SPEECH}}
    return insert(prompt, {"class_type": "UniTalkingGiveSpeech", "inputs": {"audio_vae": ["1", 3], "audio": ["71", 0], **settings}})


def give_video(prompt: Prompt, **settings: Any) -> Prompt:
    prompt["71"] = {"class_type": "LoadVideo", "inputs": {"file": FILM}}
    return insert(prompt, {"class_type": "UniTalkingGiveVideo", "inputs": {"vae": ["1", 2], "video": ["71", 0], **settings}})


def decoded(prompt: Prompt, save: bool = False) -> Prompt:
    """The sampled latent decoded, its pictures and sound written to the file `decoded`, and saved as a clip."""
    prompt["9"] = {"class_type": "DecodeAV", "inputs": {"latent": ["8", 0], "vae": ["1", 2], "audio_vae": ["1", 3]}}
    prompt["91"] = {"class_type": "ProbeMedia", "inputs": {"name": "decoded", "images": ["9", 1], "audio": ["9", 2]}}
    if save:
        inputs = {"video": ["9", 0], "filename_prefix": "task", "format": "mp4", "quality": "high"}
        prompt["10"] = {"class_type": "SaveTalkingVideo", "inputs": inputs}
    return prompt


def probe(file: Path) -> tuple[list[np.ndarray], Fraction, np.ndarray, int]:
    """Frames, their rate, sound and its rate, read by another reader than the writer."""
    with av.open(str(file)) as clip:
        rate = Fraction(clip.streams.video[0].average_rate)
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    with av.open(str(file)) as clip:
        sound = np.concatenate([frame.to_ndarray() for frame in clip.decode(audio=0)], axis=1)
        return frames, rate, sound, clip.streams.audio[0].rate


def check_clip(file: Path, frames: int, fps: int) -> None:
    """Streams of one length, to a frame, and a sound that is not silent."""
    pictures, rate, sound, sample_rate = probe(file)
    assert (len(pictures), rate) == (frames, fps)
    assert abs(sound.shape[1] / sample_rate - frames / fps) <= 1 / fps + 1024 / sample_rate  # an AAC frame has 1024 samples
    assert np.sqrt(np.mean(sound**2)) > 1e-3


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.usefixtures("inputs")
def test_given_speech_comes_back_untouched(studio: ComfyServer, kind: str) -> None:
    prompt = decoded(give_speech(with_sampler("spoken", kind)), save=kind == "JointFlowSampler")
    prompt["92"] = {"class_type": "ProbeMedia", "inputs": {"name": "speech", "audio": ["71", 0]}}
    prompt["93"] = {"class_type": "ProbeLatent", "inputs": {"latent": ["70", 0], "name": "given"}}
    run = studio.queue(copy.deepcopy(prompt))
    assert run.ok, run.explain()
    given, made, speech, out = (load_file(studio.base / "output" / f"{n}.safetensors") for n in ("given", "spoken", "speech", "decoded"))
    assert torch.equal(out["waveform"], speech["waveform"])
    assert int(out["sample_rate"]) == 44100
    assert torch.equal(made["samples.1"], given["samples.1"])
    assert torch.equal(made["samples.0"][:, :, 0], given["samples.0"][:, :, 0])
    assert not given["noise_mask.1"].any()
    assert given["noise_mask.0"][0, 0, :, 0, 0].tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert given["samples.1"].std() > 0.1
    assert made["samples.0"][:, :, 1:].std() > 0.5
    assert len(out["images"]) == 25  # 0.93 s do not fit into 21 frames at 24 fps
    if kind == "JointFlowSampler":
        assert "speech of 0.93 s is given" in run.outputs["70"]["text"][0]
        check_clip(studio.files(run)[0], 25, 24)


@pytest.mark.usefixtures("inputs")
def test_the_picture_follows_given_speech(studio: ComfyServer) -> None:
    plain = latent_of(studio, give_speech(sampled("spoken")))
    other = latent_of(studio, give_speech(sampled("other"), start=0.3, seconds=0.5))
    assert other["samples.0"].shape[2] < plain["samples.0"].shape[2]
    frames = other["samples.0"].shape[2]
    assert (plain["samples.0"][:, :, 1:frames] - other["samples.0"][:, :, 1:frames]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.usefixtures("inputs")
def test_given_frames_come_back_untouched(studio: ComfyServer, kind: str) -> None:
    """In their own size and rate, which are not the model's."""
    prompt = decoded(give_video(with_sampler("dubbed", kind)), save=kind == "JointFlowSampler")
    prompt["94"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["71", 0]}}
    prompt["92"] = {"class_type": "ProbeMedia", "inputs": {"name": "film", "images": ["94", 0]}}
    prompt["93"] = {"class_type": "ProbeLatent", "inputs": {"latent": ["70", 0], "name": "given"}}
    run = studio.queue(copy.deepcopy(prompt))
    assert run.ok, run.explain()
    given, made, film, out = (load_file(studio.base / "output" / f"{n}.safetensors") for n in ("given", "dubbed", "film", "decoded"))
    assert torch.equal(out["images"], film["images"])
    assert torch.equal(made["samples.0"], given["samples.0"])
    assert not given["noise_mask.0"].any()
    assert given["noise_mask.1"].all()
    assert made["samples.1"].std() > 0.5
    if kind == "JointFlowSampler":
        file = studio.files(run)[0]
        check_clip(file, FILM_FRAMES, FILM_FPS)
        assert probe(file)[0][0].shape == (FILM_SIZE[1], FILM_SIZE[0], 3)


@pytest.mark.usefixtures("inputs")
def test_a_part_of_a_video(studio: ComfyServer) -> None:
    prompt = decoded(give_video(sampled("part"), start=0.2, seconds=0.4, fit="pad"))
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    assert len(load_file(studio.base / "output" / "decoded.safetensors")["images"]) == 12
    assert "12 frames of 112x80 at 30 fps are given, the model sees 64x64 (pad)" in run.outputs["70"]["text"][0]


@pytest.mark.usefixtures("inputs")
def test_what_was_replaced_afterwards_is_not_passed_off_as_given(studio: ComfyServer) -> None:
    """Another node has put a generated sound in the place of the given one: it must be the one that is heard."""
    prompt = give_speech(decoded(sampled("taken_apart")))
    prompt["75"] = copy.deepcopy(prompt["8"])
    prompt["75"]["inputs"] |= {"latent": ["7", 0], "seed": 5}
    prompt["76"] = {"class_type": "LTXVSeparateAVLatent", "inputs": {"av_latent": ["8", 0]}}
    prompt["77"] = {"class_type": "LTXVSeparateAVLatent", "inputs": {"av_latent": ["75", 0]}}
    prompt["78"] = {"class_type": "LTXVConcatAVLatent", "inputs": {"video_latent": ["76", 0], "audio_latent": ["77", 1]}}
    prompt["9"]["inputs"]["latent"] = ["78", 0]
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    assert int(load_file(studio.base / "output" / "decoded.safetensors")["sample_rate"]) == 16000


def speech_alone(kind: str, name: str = "alone") -> Prompt:
    prompt = with_sampler(name, kind)
    prompt["7"] = {"class_type": "UniTalkingEmptySpeech", "inputs": {"model": ["1", 0], "seconds": 0.8}}
    return prompt


@pytest.mark.parametrize("kind", SAMPLERS[1:])
def test_speech_alone_is_the_same_on_core_samplers(studio: ComfyServer, kind: str) -> None:
    ours, theirs = (latent_of(studio, speech_alone(k, "alone")) for k in ("JointFlowSampler", kind))
    assert ours["samples.0"].shape == (1, 10, 22)  # 21 frames at 24 fps
    assert (ours["samples.0"] - theirs["samples.0"]).abs().max() < 1e-5


def test_speech_alone_is_decoded_to_sound(studio: ComfyServer) -> None:
    prompt = speech_alone("JointFlowSampler")
    prompt["9"] = {"class_type": "DecodeAV", "inputs": {"latent": ["8", 0], "vae": ["1", 2], "audio_vae": ["1", 3]}}
    prompt["91"] = {"class_type": "ProbeMedia", "inputs": {"name": "decoded", "audio": ["9", 2]}}
    run = studio.queue(copy.deepcopy(prompt))
    assert run.ok, run.explain()
    sound = load_file(studio.base / "output" / "decoded.safetensors")
    assert sound["waveform"].shape == (1, 1, 14000)
    prompt["10"] = {
        "class_type": "SaveTalkingVideo",
        "inputs": {"video": ["9", 0], "filename_prefix": "x", "format": "mp4", "quality": "high"},
    }
    run = studio.queue(prompt)
    assert "sound alone" in run.explain()


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_clip_goes_on(studio: ComfyServer, kind: str) -> None:
    """The earlier clip stays as it is, frame by frame and sample by sample up to the fade; the prefix comes back from the sampler."""
    prompt = with_sampler("continued", kind)
    first = main_job()
    prompt |= {f"a{k}": copy.deepcopy(v) for k, v in first.items() if k in ("7", "8", "9")}
    prompt["a8"]["inputs"]["latent"] = ["a7", 0]
    prompt["a9"]["inputs"]["latent"] = ["a8", 0]
    inputs = {"model": ["1", 0], "vae": ["1", 2], "audio_vae": ["1", 3], "video": ["a9", 0], "seconds": 0.5, "context": 0.35}
    prompt["7"] = {"class_type": "UniTalkingContinueClip", "inputs": {**inputs, "with_earlier": True}}
    prompt = decoded(prompt, save=True)
    prompt["92"] = {"class_type": "ProbeMedia", "inputs": {"name": "earlier", "images": ["a9", 1], "audio": ["a9", 2]}}
    prompt["93"] = {"class_type": "ProbeLatent", "inputs": {"latent": ["7", 0], "name": "given"}}
    run = studio.queue(copy.deepcopy(prompt))
    assert run.ok, run.explain()
    given, made, earlier, out = (
        load_file(studio.base / "output" / f"{n}.safetensors") for n in ("given", "continued", "earlier", "decoded")
    )
    latents, tokens = (
        int((given[f"noise_mask.{i}"][0, 0].flatten(1).amax(1) == 0).sum()) if i == 0 else int((given["noise_mask.1"] == 0).sum())
        for i in (0, 1)
    )
    assert (latents, tokens) == (3, 9)  # 9 frames at 24 fps are 0.375 s, 9.375 tokens at 25 a second
    assert torch.equal(made["samples.0"][:, :, :latents], given["samples.0"][:, :, :latents])
    assert torch.equal(made["samples.1"][..., :tokens], given["samples.1"][..., :tokens])
    n = len(earlier["images"])
    assert torch.equal(out["images"][:n], earlier["images"])
    assert len(out["images"]) == n + made["samples.0"].shape[2] * 4 - 3 - 9
    kept = earlier["waveform"].shape[-1] - 320
    assert torch.equal(out["waveform"][..., :kept], earlier["waveform"][..., :kept])
    assert out["waveform"].shape[-1] == round(Fraction(len(out["images"]), 24) * 16000)
    check_clip(studio.files(run)[0], len(out["images"]), 24)


def test_a_silent_clip_of_another_size_and_rate_goes_on(studio: ComfyServer, inputs: Path) -> None:
    """It is brought to what the model can make; what had no sound stays silent."""
    write_clip(inputs / "silent.mp4", [np.full((30, 90, 130, 3), 90, np.uint8)], fps=30)
    prompt = sampled("silent")
    prompt["71"] = {"class_type": "LoadVideo", "inputs": {"file": "silent.mp4"}}
    given = {"model": ["1", 0], "vae": ["1", 2], "audio_vae": ["1", 3], "video": ["71", 0], "with_earlier": True}
    prompt["7"] = {"class_type": "UniTalkingContinueClip", "inputs": {**given, "seconds": 0.5, "context": 0.3}}
    run = studio.queue(decoded(prompt))
    assert run.ok, run.explain()
    assert "the clip has no sound" in run.outputs["7"]["text"][0]
    out = load_file(studio.base / "output" / "decoded.safetensors")
    assert out["images"].shape[1:] == (64, 96, 3)
    assert (out["images"][:24] - 90 / 255).abs().max() < 0.03
    assert not out["waveform"][..., : 16000 - 320].any()
    assert out["waveform"][..., 16000:].abs().max() > 1e-3
    assert out["waveform"].shape[-1] == round(Fraction(len(out["images"]), 24) * 16000)


def _prompt(change: Callable[[Prompt], None]) -> Prompt:
    prompt = sampled("bad")
    change(prompt)
    return prompt


def _both(prompt: Prompt) -> None:
    give_speech(prompt)
    prompt["72"] = {"class_type": "LoadVideo", "inputs": {"file": FILM}}
    prompt["73"] = {"class_type": "UniTalkingGiveVideo", "inputs": {"latent": ["70", 0], "vae": ["1", 2], "video": ["72", 0]}}
    prompt["8"]["inputs"]["latent"] = ["73", 0]


def _sound_only(prompt: Prompt) -> None:
    give_speech(prompt)
    prompt["7"] = {"class_type": "UniTalkingEmptySpeech", "inputs": {"model": ["1", 0], "seconds": 0.8}}


def _foreign(prompt: Prompt) -> None:
    give_speech(prompt)
    prompt["7"] = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}


def _too_long(prompt: Prompt) -> None:
    give_speech(prompt)
    prompt["71"] = {"class_type": "EmptyAudio", "inputs": {"duration": 90.0, "sample_rate": 8000, "channels": 1}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_both, "given already: nothing would be left"),
        (_sound_only, "holds sound only"),
        (_foreign, "does not say which model"),
        (_too_long, "lasts 90.0 s"),
        (lambda p: give_speech(p, start=5.0), "nothing is left of the recording after 5 s"),
        (lambda p: give_video(p, start=5.0), "nothing is left of the video after 5 s"),
        (lambda p: give_speech(p, audio_vae=["1", 2]), "fourth"),
        (lambda p: give_video(p, vae=["1", 3]), "connect the 'VAE' output"),
    ],
)
@pytest.mark.usefixtures("inputs")
def test_bad_input_is_named(studio: ComfyServer, change: Callable[[Prompt], None], message: str) -> None:
    run = studio.queue(_prompt(change))
    assert run.status == "error"
    assert message in run.explain()


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ({"video_text_scale": 1.0, "audio_text_scale": 1.0}, 1),
        ({}, 2),
        ({"video_text_scale": 1.0, "audio_text_scale": 1.0, "voice_scale": 2.0}, 2),
        ({"video_text_scale": 1.0, "audio_text_scale": 1.0, "audio_sync_scale": 0.5}, 2),
        ({"voice_scale": 2.0, "video_sync_scale": 0.5}, 4),
    ],
)
def test_only_the_passes_in_use_run(studio: ComfyServer, settings: dict[str, float], rows: int) -> None:
    """Counted in the transformer itself: neutral scales run one pass a step, others join it in one batch."""
    assert _rows_of_passes(studio, sampled("counted", **settings), f"passes_{len(settings)}_{sum(settings.values())}") == [str(rows)] * 4


@pytest.mark.parametrize(("give", "rows"), [(give_speech, 2), (give_video, 1)])
@pytest.mark.usefixtures("inputs")
def test_a_given_stream_runs_no_pass_for_itself(studio: ComfyServer, give: Callable[..., Prompt], rows: int) -> None:
    prompt = give(sampled("given", video_text_scale=1.0, audio_text_scale=1.0, video_sync_scale=0.5))
    assert _rows_of_passes(studio, prompt, f"passes_{give.__name__}") == [str(rows)] * 4


def _rows_of_passes(studio: ComfyServer, prompt: Prompt, name: str) -> list[str]:
    """The rows of each call of the transformer in a run."""
    prompt["20"] = {"class_type": "ProbePasses", "inputs": {"model": ["1", 0], "name": name}}
    prompt["8"]["inputs"]["model"] = ["20", 0]
    latent_of(studio, prompt)
    return (studio.base / "output" / f"{name}.txt").read_text().split()


def test_neutral_scales_are_no_guidance(studio: ComfyServer) -> None:
    neutral = latent_of(studio, sampled("neutral", video_text_scale=1.0, audio_text_scale=1.0))
    assert max(largest_difference(neutral, latent_of(studio, with_core_sampler("plain", "KSampler", cfg=1.0)))) == 0


def test_a_voice_without_effect_is_no_voice(studio: ComfyServer) -> None:
    """The gate: a run without a voice equals one whose voice was taken off the conditioning."""
    prompt = sampled("without")
    del prompt["8"]["inputs"]["voice"]
    core = with_core_sampler("core_without", "KSampler")
    core["8"]["inputs"] |= {"positive": ["4", 0], "negative": ["5", 0]}
    assert max(largest_difference(latent_of(studio, prompt), latent_of(studio, core))) < 1e-5
    assert VOICE
