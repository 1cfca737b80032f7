"""NAVA's checkpoints in the real host: a small one, with the host's own audio VAE and a small speaker encoder."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from scripts.comfy_client import Prompt
from scripts.host import ROOT
from tests.conditions.test_speaker_encoder import published_file
from tests.server.graphs import PORTRAIT, VOICE, largest_difference, latent_of, sampled
from tests.server.harness import ComfyServer
from tests.server.nava import BF16, FP8, LTX, STEPS, job, write
from tests.server.test_full_size import adapters, likeness, with_lora
from tests.server.test_tasks import probe
from unitalking_core.cli import main
from unitalking_core.training.config import LoraOptions
from unitalking_core.training.lora import save_adapters

OWN = {"video_text_scale": 4.0, "audio_text_scale": 3.0, "voice_scale": 4.0, "video_sync_scale": 3.0, "audio_sync_scale": 2.0}
"""NAVA's published strengths, as scales."""
TEMPLATE = "unitalking_nava_talking_portrait"
LAYERS = ["blocks.0.self_attn.q", "audio.blocks.0.self_attn.q", "blocks.1.self_attn.v", "blocks.1.cross_attn.k"]
"""Own layers of both streams, and shared ones."""


@pytest.fixture(scope="module")
def nava(studio: ComfyServer) -> ComfyServer:
    models = studio.base / "models"
    write(models / "unitalking")
    for folder in ("audio_codecs", "speaker_encoders"):
        (models / folder).mkdir(exist_ok=True)
    run = studio.queue({"1": {"class_type": "ProbeLTXFile", "inputs": {"path": str(models / "audio_codecs" / LTX)}}})
    assert run.ok, run.explain()
    return studio


@pytest.fixture(scope="module")
def voices(nava: ComfyServer, tmp_path_factory: pytest.TempPathFactory) -> ComfyServer:
    published = published_file(tmp_path_factory.mktemp("published"), embed_dim=192)
    out = nava.base / "models" / "speaker_encoders" / "redimnet.safetensors"
    assert main(["convert-speaker-encoder", str(published), "--out", str(out)]) == 0
    return nava


def refusal(server: ComfyServer, prompt: Prompt) -> str:
    run = server.queue(prompt)
    assert not run.ok
    return run.explain()


def test_without_a_speaker_encoder_a_voice_is_refused_with_where_to_get_one(nava: ComfyServer) -> None:
    folder = nava.base / "models" / "speaker_encoders"
    hidden = [path.rename(path.with_suffix(".hidden")) for path in folder.glob("*.safetensors")]
    try:
        told = refusal(nava, job())
    finally:
        for path in hidden:
            path.rename(path.with_suffix(".safetensors"))
    assert f"need a speaker encoder in {folder}" in told
    assert "convert-speaker-encoder` from M-vb2+vox2+cnc-ft_mix.pt of github.com/IDRnD/ReDimNet/releases" in told


def test_pictures_and_sound_from_text_and_from_a_portrait(nava: ComfyServer) -> None:
    text_alone = latent_of(nava, job(voices=0, portrait=False, **OWN))
    assert text_alone["samples.1"].shape[1] == 128
    frames = 4 * (text_alone["samples.0"].shape[2] - 1) + 1
    assert text_alone["samples.1"].shape[2] == -(-frames * 25 // 24)
    from_portrait = latent_of(nava, job(voices=0, **OWN))
    assert min(largest_difference(text_alone, from_portrait)) > 0
    assert bool((from_portrait["noise_mask.0"][:, :, 0] == 0).all())


def test_its_clip_is_stereo_of_48_khz(nava: ComfyServer) -> None:
    prompt = job(voices=0)
    prompt["9"] = {"class_type": "DecodeAV", "inputs": {"latent": ["8", 0], "vae": ["1", 2], "audio_vae": ["1", 3]}}
    prompt["92"] = {"class_type": "ProbeAudio", "inputs": {"audio": ["9", 2], "name": "nava_sound"}}
    del prompt["90"]
    run = nava.queue(prompt)
    assert run.ok, run.explain()
    sound = load_file(nava.base / "output" / "nava_sound.safetensors")
    assert (int(sound["sample_rate"]), sound["waveform"].shape[1]) == (48000, 2)


def test_the_audio_vae_is_the_hosts(nava: ComfyServer) -> None:
    path = nava.base / "models" / "audio_codecs" / LTX
    probe = {"class_type": "ProbeLTX", "inputs": {"audio_vae": ["1", 3], "path": str(path), "name": "ltx"}}
    run = nava.queue({"1": job()["1"], "2": probe})
    assert run.ok, run.explain()
    report = json.loads((nava.base / "output" / "ltx.json").read_text())
    assert report["shapes"][1] == [1, 128, 26]
    assert max(report["differences"]) < 1e-4
    assert min(*report["sizes"], report["stereo"]) > 1e-3


def speech(**how: int) -> Prompt:
    prompt = job(portrait=False, text="<S>hello<E> a woman <S>good day<E> a man", **how)
    prompt["7"] = {"class_type": "UniTalkingEmptySpeech", "inputs": {"model": ["1", 0], "seconds": 0.6}}
    return prompt


def test_sound_alone(voices: ComfyServer) -> None:
    runs = [latent_of(voices, speech(voices=count)) for count in (0, 1, 2)]
    for a, b in pairwise(runs):
        assert a["samples.0"].shape[1] == 128
        assert float((a["samples.0"] - b["samples.0"]).abs().max()) > 0


def test_sound_alone_is_not_led_towards_a_picture(voices: ComfyServer) -> None:
    prompts = [speech(voices=1) for _ in range(2)]
    prompts[0]["8"]["inputs"] |= {"audio_sync_scale": 2.0, "video_sync_scale": 3.0}
    a, b = (latent_of(voices, prompt) for prompt in prompts)
    assert torch.equal(a["samples.0"], b["samples.0"])


def test_one_voice_two_voices_and_their_guidance(voices: ComfyServer) -> None:
    two = "<S>hello<E> a woman <S>good day<E> a man"
    runs = {
        "none": latent_of(voices, job(voices=0, text=two)),
        "one": latent_of(voices, job(text=two)),
        "two": latent_of(voices, job(voices=2, text=two)),
        "guided": latent_of(voices, job(voices=2, text=two, voice_scale=4.0, video_sync_scale=3.0, audio_sync_scale=2.0)),
    }
    for a, b in pairwise(runs):
        assert min(largest_difference(runs[a], runs[b])) > 0, (a, b)
    three = refusal(voices, job(voices=2, text=f"{two} <S>yes<E>"))
    assert "3 spans <S>...<E> and 2 voices" in three


def test_a_voice_of_the_other_kind_is_refused_by_name(voices: ComfyServer) -> None:
    other = sampled("x", steps=1)["1"]
    prompt = job()
    prompt["100"] = other
    prompt["6"]["inputs"]["audio_vae"] = ["100", 3]
    assert "this voice is sound in 10 channels" in refusal(voices, prompt)
    prompt = sampled("x", steps=1)
    prompt["100"] = job()["1"]
    prompt["6"]["inputs"]["audio_vae"] = ["100", 3]
    assert "this voice is a speaker vector (of a NAVA checkpoint), but the checkpoint 'random' takes" in refusal(voices, prompt)


def test_a_core_sampler_refuses_it_too(voices: ComfyServer) -> None:
    prompt = job()
    prompt["100"] = sampled("x", steps=1)["1"]
    prompt["6"]["inputs"]["audio_vae"] = ["100", 3]
    prompt["40"] = {"class_type": "UniTalkingApplyVoice", "inputs": {"conditioning": ["4", 0], "voice": ["6", 0]}}
    core = {"model": ["1", 0], "positive": ["40", 0], "negative": ["5", 0], "latent_image": ["7", 0], "seed": 1, "steps": 1, "cfg": 3.0}
    core |= {"sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    prompt["8"] = {"class_type": "KSampler", "inputs": core}
    assert "this voice is sound in 10 channels" in refusal(voices, prompt)


def test_a_voice_as_a_file(voices: ComfyServer) -> None:
    prompt = job()
    reference = latent_of(voices, prompt)
    kept = {"voice": ["6", 0], "name": "NAVA", "licence": ""}
    run = voices.queue({**{key: prompt[key] for key in ("1", "3", "6")}, "60": {"class_type": "UniTalkingSaveVoice", "inputs": kept}})
    assert run.ok, run.explain()
    prompt["6"] = {"class_type": "UniTalkingLoadVoice", "inputs": {"voice_file": "NAVA_00001_.safetensors", "audio_vae": ["1", 3]}}
    assert max(largest_difference(latent_of(voices, prompt), reference)) < 1e-5
    other = sampled("x", steps=1)
    other["6"] = prompt["6"]
    assert "was made by the audio codec redimnet (192 channels" in refusal(voices, other)


def test_what_is_left_to_the_checkpoint_is_navas_own(voices: ComfyServer) -> None:
    left = dict.fromkeys(OWN, -1.0)
    own, said = job(**left), job(**OWN)
    own["8"]["inputs"]["steps"], said["8"]["inputs"]["steps"] = 0, STEPS
    assert max(largest_difference(latent_of(voices, own), latent_of(voices, said))) == 0
    loader = {**own["1"], "inputs": {**own["1"]["inputs"], "weight_dtype": "fp8_e5m2"}}  # not in the server's cache, which says nothing
    run = voices.queue({"1": loader, "2": {"class_type": "ProbeModel", "inputs": {"model": ["1", 0], "name": "own"}}})
    assert "voice_scale 4, video_sync_scale 3, audio_sync_scale 2" in run.outputs["1"]["text"][0]


def test_in_fp8_with_a_scale_a_row_it_is_close_and_stays_small(nava: ComfyServer) -> None:
    plain, packed = (latent_of(nava, job(name, voices=0)) for name in (BF16, FP8))
    assert min(largest_difference(plain, packed)) > 0
    assert likeness(plain, packed) > 0.98
    reports = []
    for name in (BF16, FP8):
        prompt = {"1": job(name)["1"], "2": {"class_type": "ProbeModel", "inputs": {"model": ["1", 0], "name": "nava"}}}
        run = nava.queue(prompt)
        assert run.ok, run.explain()
        reports.append(json.loads((nava.base / "output" / "nava.json").read_text()))
    wide = 4 if "torch.float32" in reports[0]["dtypes"] else 2  # where a CPU has no bf16, the host keeps weights in float32
    packed_layers = [value for value in load_file(nava.base / "models" / "unitalking" / FP8).values() if value.dtype == torch.float8_e4m3fn]
    saved = sum((wide - 1) * weight.numel() - 2 * len(weight) for weight in packed_layers)
    assert reports[0]["bytes"] - reports[1]["bytes"] == pytest.approx(saved, rel=0.01)


@pytest.mark.parametrize("name", [BF16, FP8])
def test_a_lora_acts_on_own_and_shared_layers(nava: ComfyServer, loras: Path, name: str) -> None:
    for layer in LAYERS:
        save_adapters(loras / "nava.safetensors", adapters([layer], dim=128), LoraOptions(rank=4, alpha=4))
        plain, changed, again = (
            latent_of(nava, prompt) for prompt in (job(name, voices=0), with_lora(job(name, voices=0), "nava"), job(name, voices=0))
        )
        assert min(largest_difference(plain, changed)) > 1e-4, layer
        assert max(largest_difference(plain, again)) == 0, layer


@pytest.mark.slow
@pytest.mark.parametrize("name", [BF16, FP8])
def test_compiled_by_a_core_node_it_gives_the_same(voices: ComfyServer, name: str) -> None:
    prompt = job(name)
    prompt["20"] = {"class_type": "TorchCompileModel", "inputs": {"model": ["1", 0], "backend": "inductor"}}
    prompt["8"]["inputs"]["model"] = ["20", 0]
    assert max(largest_difference(latent_of(voices, prompt), latent_of(voices, job(name)))) < 1e-2


def test_a_model_with_scales_a_row_is_not_saved(nava: ComfyServer) -> None:
    save = {"class_type": "ModelSave", "inputs": {"model": ["1", 0], "filename_prefix": "saved/rows"}}
    assert "nor one in fp8 with a scale for each row" in refusal(nava, {"1": job(FP8)["1"], "2": save})
    assert not list((nava.base / "output").glob("saved/rows*"))


def test_saved_by_a_core_node_it_gives_the_same(nava: ComfyServer) -> None:
    before = latent_of(nava, job(voices=0))
    run = nava.queue({
        "1": job()["1"],
        "2": {"class_type": "ModelSave", "inputs": {"model": ["1", 0], "filename_prefix": "saved/nava"}},
    })  # fmt: skip
    assert run.ok, run.explain()
    [saved] = (nava.base / "output" / "saved").glob("nava_*.safetensors")
    saved.rename(nava.base / "models" / "unitalking" / "nava_resaved.safetensors")
    assert max(largest_difference(before, latent_of(nava, job("nava_resaved.safetensors", voices=0)))) == 0


def test_the_template_on_small_files(voices: ComfyServer) -> None:
    """As it is shipped, but for the files' names, the size and the number of steps."""
    prompt = json.loads((ROOT / "workflows" / "api" / f"{TEMPLATE}.json").read_text())
    prompt["1"]["inputs"] |= {"checkpoint": BF16, "text_encoder": "bundled", "vae": "bundled", "audio_codec": LTX}
    prompt["2"]["inputs"]["image"], prompt["3"]["inputs"]["audio"] = PORTRAIT, VOICE
    prompt["7"]["inputs"] |= {"seconds": 0.6, "width": 64, "height": 64}
    prompt["8"]["inputs"]["steps"] = 2
    run = voices.queue(prompt)
    assert run.ok, run.explain()
    frames, fps, sound, rate = probe(voices.files(run)[0])
    assert (len(frames), fps, rate) == (13, 24, 48000)
    assert abs(sound.shape[1] / rate - len(frames) / fps) <= 1 / fps + 1024 / rate
