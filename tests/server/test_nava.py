"""NAVA's checkpoints in the real host: a small one, with the host's own audio VAE and a small speaker encoder."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from scripts.comfy_client import Prompt
from tests.checkpoint.test_nava import in_fp8, small
from tests.conditions.test_speaker_encoder import published_file
from tests.server.graphs import VOICE, largest_difference, latent_of, sampled
from tests.server.harness import ComfyServer
from unitalking_core import checkpoint as checkpoints
from unitalking_core.checkpoint.nava import our_names
from unitalking_core.cli import main
from unitalking_core.codecs import build_video_codec
from unitalking_core.conditions.text import build_text_encoder
from unitalking_core.config import TextConfig

BF16, FP8 = "nava_small.safetensors", "nava_small_fp8.safetensors"
LTX = "ltx_small.safetensors"


def write(folder: Path, speaker_dim: int = 192) -> None:
    """The small model with nano's text encoder and video codec beside it; its audio codec is a file of its own."""
    weights = small()
    path = folder / "theirs.safetensors"
    save_file(weights, path)
    loaded = checkpoints.load(path)
    path.unlink()
    config = replace(
        loaded.config,
        text=TextConfig("nano-text", 64, {"hidden": 32, "blocks": 1, "layers": 1}),
        video=replace(loaded.config.video, codec="nano-video", width=64, height=64, options={"hidden": 16, "blocks": 1}),
    )
    torch.manual_seed(0)
    parts: dict[str, Any] = {
        checkpoints.TEXT_ENCODER: build_text_encoder(config.text, config.transformer.text_dim).state_dict(),
        checkpoints.VIDEO_CODEC: build_video_codec(config.video).state_dict(),
    }
    transformer = {name: value.to(torch.bfloat16) for name, value in loaded.part(checkpoints.TRANSFORMER).items()}
    checkpoints.save(folder / BF16, config, {**parts, checkpoints.TRANSFORMER: transformer})
    rows: dict[str, torch.Tensor] = {}
    for theirs, name in our_names(weights).items():
        value = weights[theirs]
        if in_fp8(theirs, tuple(value.shape)):
            scale = value.abs().amax(1) / 448
            rows[f"{name}_scale"] = scale.to(torch.bfloat16)
            rows[name] = (value / rows[f"{name}_scale"].float()[:, None]).clamp(-448, 448).to(torch.float8_e4m3fn)
        else:
            rows[name] = value.to(torch.bfloat16)
    checkpoints.save(folder / FP8, config, {**parts, checkpoints.TRANSFORMER: rows})


@pytest.fixture(scope="module")
def nava(studio: ComfyServer, tmp_path_factory: pytest.TempPathFactory) -> ComfyServer:
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


def job(
    checkpoint: str = BF16, *, voices: int = 1, portrait: bool = True, text: str = "<S>the red bird<E> a woman", **settings: Any
) -> Prompt:
    prompt = sampled("nava", steps=2, **settings)
    prompt["1"]["inputs"] |= {"checkpoint": checkpoint, "audio_codec": LTX}
    prompt["4"]["inputs"]["text"] = text
    if not portrait:
        prompt["7"] = {"class_type": "UniTalkingEmptyClip", "inputs": {"model": ["1", 0], "seconds": 0.6, "width": 0, "height": 0}}
        del prompt["2"]
    if voices == 0:
        del prompt["3"], prompt["6"], prompt["8"]["inputs"]["voice"]
    if voices == 2:
        prompt["30"] = {"class_type": "LoadAudio", "inputs": {"audio": VOICE}}
        prompt["31"] = {"class_type": "TrimAudioDuration", "inputs": {"audio": ["30", 0], "start_index": 0.0, "duration": 1.0}}
        prompt["60"] = {"class_type": "EncodeReferenceVoice", "inputs": {"audio": ["31", 0], "audio_vae": ["1", 3], "earlier": ["6", 0]}}
        prompt["8"]["inputs"]["voice"] = ["60", 0]
    return prompt


def refusal(server: ComfyServer, prompt: Prompt) -> str:
    run = server.queue(prompt)
    assert not run.ok
    return run.explain()


def test_without_a_speaker_encoder_a_voice_is_refused_with_where_to_get_one(nava: ComfyServer) -> None:
    if (nava.base / "models" / "speaker_encoders" / "redimnet.safetensors").exists():
        pytest.skip("it is there already")
    assert "speaker encoder in" in (told := refusal(nava, job()))
    assert "convert-speaker-encoder" in told


def test_pictures_and_sound_from_text_and_from_a_portrait(nava: ComfyServer) -> None:
    scales = {"video_text_scale": 4.0, "audio_text_scale": 3.0, "video_sync_scale": 3.0, "audio_sync_scale": 2.0}
    text_alone = latent_of(nava, job(voices=0, portrait=False, **scales))
    assert text_alone["samples.1"].shape[1] == 128
    frames = 4 * (text_alone["samples.0"].shape[2] - 1) + 1
    assert text_alone["samples.1"].shape[2] == -(-frames * 25 // 24)
    from_portrait = latent_of(nava, job(voices=0, **scales))
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


def test_sound_alone(nava: ComfyServer) -> None:
    prompt = job(voices=0, portrait=False)
    prompt["70"] = {"class_type": "LTXVSeparateAVLatent", "inputs": {"av_latent": ["7", 0]}}
    prompt["8"]["inputs"]["latent"] = ["70", 1]
    got = latent_of(nava, prompt)
    assert got["samples.0"].shape[1] == 128
    assert float(got["samples.0"].std()) > 0


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


def test_in_fp8_with_a_scale_a_row_it_is_close_and_stays_small(nava: ComfyServer) -> None:
    plain, packed = (latent_of(nava, job(name, voices=0)) for name in (BF16, FP8))
    for i in (0, 1):
        likeness = torch.cosine_similarity(plain[f"samples.{i}"].flatten(), packed[f"samples.{i}"].flatten(), dim=0)
        assert likeness > 0.98


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
