"""UniTalking as a MODEL of the host: core samplers, guidance, LoRA, masks, weight types, interrupt."""

from __future__ import annotations

import copy
import json
import wave
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.server.graphs import CHECKPOINT, PORTRAIT, VOICE, largest_difference, latent_of, main_job, sampled, with_core_sampler
from tests.server.harness import ComfyServer
from unitalking_core.checkpoint import TRANSFORMER, load
from unitalking_core.flow import Guidance
from unitalking_core.generate import Pipeline
from unitalking_core.reading import read_image


@pytest.fixture(scope="module")
def reference(studio: ComfyServer) -> dict[str, torch.Tensor]:
    return latent_of(studio, sampled("reference"))


@pytest.mark.parametrize("kind", ["KSampler", "SamplerCustomAdvanced"])
def test_core_samplers_give_the_same_latents(studio: ComfyServer, reference: dict, kind: str) -> None:
    assert max(largest_difference(latent_of(studio, with_core_sampler("core", kind)), reference)) < 1e-5


def test_the_host_and_the_core_generate_the_same(studio: ComfyServer, reference: dict) -> None:
    """`generate` without ComfyUI, from the same files and seed."""
    prompt, inputs = main_job(), studio.base / "input"
    pipeline = Pipeline.load(studio.base / "models" / "unitalking" / CHECKPOINT)
    with wave.open(str(inputs / VOICE)) as file:
        waveform = torch.frombuffer(bytearray(file.readframes(file.getnframes())), dtype=torch.int16).float()[None] / 32768
        rate = file.getframerate()
    clip = pipeline.generate(
        prompt["4"]["inputs"]["text"],
        portrait=read_image(inputs / PORTRAIT),
        voice=(waveform, rate),
        seconds=0.6,
        seed=1,
        steps=4,
        guidance=Guidance(3.0, 3.0),
    )
    torch.testing.assert_close(clip.video, reference["samples.0"], atol=1e-4, rtol=0)


def test_what_is_given_comes_back(studio: ComfyServer, reference: dict) -> None:
    """The first frame is the portrait's own latent; nothing else is."""
    prompt = sampled("encoded")
    del prompt["8"]
    prompt["90"]["inputs"]["latent"] = ["7", 0]
    encoded = latent_of(studio, prompt)
    torch.testing.assert_close(reference["samples.0"][:, :, 0], encoded["samples.0"][:, :, 0], atol=1e-5, rtol=0)
    assert (encoded["samples.0"][:, :, 1:] == 0).all()
    assert encoded["noise_mask.0"][0, 0, 0].sum() == 0
    assert encoded["noise_mask.0"][0, 0, 1:].all()
    assert encoded["noise_mask.1"].all()
    assert reference["samples.0"][:, :, 1:].std() > 0.5


@pytest.mark.parametrize(
    ("settings", "video_differs", "audio_differs"),
    [
        ({"seed": 2}, True, True),
        ({"video_text_scale": 1.0}, True, True),
        ({"voice_scale": 2.0}, True, True),
        ({"video_sync_scale": 1.0}, True, True),
        ({"voice_scale": 1.0, "audio_sync_scale": 0.0}, False, False),
    ],
)
def test_settings_matter(studio: ComfyServer, reference: dict, settings: dict[str, Any], video_differs: bool, audio_differs: bool) -> None:
    video, audio = largest_difference(latent_of(studio, sampled("setting", **settings)), reference)
    assert (video > 1e-4) is video_differs
    assert (audio > 1e-4) is audio_differs


def test_without_voice_and_without_portrait(studio: ComfyServer, reference: dict) -> None:
    prompt = sampled("no_voice")
    del prompt["8"]["inputs"]["voice"]
    assert min(largest_difference(latent_of(studio, prompt), reference)) > 1e-4
    prompt["7"] = {"class_type": "UniTalkingEmptyClip", "inputs": {"model": ["1", 0], "seconds": 0.6, "width": 0, "height": 96}}
    empty = latent_of(studio, prompt)
    assert empty["samples.0"].shape == (1, 12, 4, 6, 4)
    assert "noise_mask.0" not in empty


@pytest.mark.parametrize("sampler", ["uni_pc", "dpmpp_2m", "heun", "lcm", "res_multistep", "dpmpp_2m_sde"])
def test_other_samplers_run(studio: ComfyServer, sampler: str) -> None:
    latent = latent_of(studio, sampled("sampler", sampler_name=sampler, scheduler="normal"))
    assert all(latent[f"samples.{i}"].isfinite().all() for i in (0, 1))


def test_streams_pass_through_core_nodes(studio: ComfyServer, reference: dict) -> None:
    """LTXVSeparateAVLatent and LTXVConcatAVLatent take the clip apart and put it together again."""
    prompt = sampled("again")
    prompt["91"] = {"class_type": "LTXVSeparateAVLatent", "inputs": {"av_latent": ["8", 0]}}
    prompt["92"] = {"class_type": "LTXVConcatAVLatent", "inputs": {"video_latent": ["91", 0], "audio_latent": ["91", 1]}}
    prompt["90"]["inputs"]["latent"] = ["92", 0]
    assert max(largest_difference(latent_of(studio, prompt), reference)) == 0


def test_a_lora_reaches_every_parameter_of_both_streams(studio: ComfyServer, loras: Path, reference: dict) -> None:
    state = load(studio.base / "models" / "unitalking" / CHECKPOINT).part(TRANSFORMER)
    names = {True: "diff", False: "diff_b"}
    deltas = {
        f"diffusion_model.{key.rsplit('.', 1)[0]}.{names[key.endswith('.weight')]}": torch.full_like(value, 0.01)
        for key, value in state.items()
    }
    save_file(deltas, loras / "everything.safetensors")
    prompt = sampled("lora")
    prompt["20"] = {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": ["1", 0], "lora_name": "everything.safetensors", "strength_model": 1.0},
    }
    prompt["8"]["inputs"]["model"] = ["20", 0]
    prompt["91"] = {"class_type": "ProbeModel", "inputs": {"model": ["20", 0], "name": "lora_model"}}
    assert min(largest_difference(latent_of(studio, prompt), reference)) > 1e-3
    report = json.loads((studio.base / "output" / "lora_model.json").read_text())
    assert report["patched"] == sorted(state)
    for key, value in state.items():
        assert report["sums"][key] == pytest.approx(value.double().sum().item() + 0.01 * value.numel(), abs=1e-2), key


def test_a_low_rank_lora_under_wans_names_and_its_twin(studio: ComfyServer, loras: Path, reference: dict) -> None:
    """`lora_unet_blocks_0_self_attn_q` is Wan's own key, `audio_blocks_...` the twin's; each changes both streams."""
    for stream in ("", "audio_"):
        key = f"lora_unet_{stream}blocks_0_self_attn_q"
        up, down = torch.randn(96, 4, generator=torch.Generator().manual_seed(1)), torch.ones(4, 96) * 0.1
        save_file({f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down}, loras / f"rank4_{stream}.safetensors")
        prompt = sampled("lora")
        inputs = {"model": ["1", 0], "lora_name": f"rank4_{stream}.safetensors", "strength_model": 1.0}
        prompt["20"] = {"class_type": "LoraLoaderModelOnly", "inputs": inputs}
        prompt["8"]["inputs"]["model"] = ["20", 0]
        assert min(largest_difference(latent_of(studio, prompt), reference)) > 1e-4


def test_fp8_weights_are_smaller_and_close(studio: ComfyServer, reference: dict) -> None:
    prompt = sampled("fp8")
    prompt["91"] = {"class_type": "ProbeModel", "inputs": {"model": ["1", 0], "name": "plain_model"}}
    latent_of(studio, prompt)
    plain = json.loads((studio.base / "output" / "plain_model.json").read_text())
    prompt["1"]["inputs"]["weight_dtype"] = "fp8_e4m3fn"
    prompt["91"]["inputs"]["name"] = "fp8_model"
    got = latent_of(studio, prompt)
    report = json.loads((studio.base / "output" / "fp8_model.json").read_text())
    assert report["dtypes"] == ["torch.float8_e4m3fn"]
    assert report["bytes"] < 0.6 * plain["bytes"]
    for i in (0, 1):
        cosine = torch.nn.functional.cosine_similarity(got[f"samples.{i}"].flatten(), reference[f"samples.{i}"].flatten(), dim=0)
        assert cosine > 0.95


def test_interrupt_at_step_two_then_a_run_equal_to_the_reference(studio: ComfyServer, reference: dict) -> None:
    steps = []

    def stop(kind: str, data: dict) -> None:
        if kind == "progress" and data["node"] == "8":
            steps.append(data["value"])
            if steps[0] == data["value"] >= 2 or len(steps) == 2:  # the host leaves out messages that follow each other closely
                studio.interrupt()

    run = studio.queue(sampled("interrupted", steps=400, seed=3), stop)
    assert run.status == "interrupted"
    assert 2 <= steps[-1] < 400
    prompt = sampled("after")
    again = studio.queue(prompt)
    assert again.ok, again.explain()
    assert "8" in again.seconds, "the sampler must have run again, not come from the cache"
    assert max(largest_difference(load_file(studio.base / "output" / "after.safetensors"), reference)) == 0


def test_nodes_that_patch_the_model_run(studio: ComfyServer) -> None:
    """Nodes of the host that reach into the model: they must find what they expect."""
    window = {"start_percent": 0.0, "end_percent": 1.0}
    skip = {"double_layers": "0", "single_layers": "0", "scale": 3.0, "rescaling_scale": 0.0, **window}
    for patch in (
        {"class_type": "EasyCache", "inputs": {"reuse_threshold": 0.2, "verbose": False, **window}},
        {"class_type": "SkipLayerGuidanceDiT", "inputs": skip},
        {"class_type": "ModelSamplingSD3", "inputs": {"shift": 5.0}},
    ):
        prompt = sampled("patched", seed=7)
        prompt["20"] = copy.deepcopy(patch)
        prompt["20"]["inputs"]["model"] = ["1", 0]
        prompt["8"]["inputs"]["model"] = ["20", 0]
        latent = latent_of(studio, prompt)
        assert all(latent[f"samples.{i}"].isfinite().all() for i in (0, 1)), patch["class_type"]


def test_two_stages_equal_one_and_what_is_given_stays(studio: ComfyServer, reference: dict) -> None:
    """A run that stops half-way and one that goes on from there: also then the portrait comes back bit for bit."""
    prompt = with_core_sampler("two_stages", "SamplerCustomAdvanced")
    prompt["85"] = {"class_type": "SplitSigmas", "inputs": {"sigmas": ["84", 0], "step": 2}}
    prompt["86"] = {"class_type": "DisableNoise", "inputs": {}}
    prompt["8"]["inputs"]["sigmas"] = ["85", 0]
    prompt["87"] = copy.deepcopy(prompt["8"])
    prompt["87"]["inputs"] |= {"noise": ["86", 0], "sigmas": ["85", 1], "latent_image": ["8", 0]}
    prompt["90"]["inputs"]["latent"] = ["87", 0]
    got = latent_of(studio, prompt)
    assert max(largest_difference(got, reference)) < 1e-4
    assert torch.equal(got["samples.0"][:, :, 0], reference["samples.0"][:, :, 0])


def test_nodes_that_patch_guidance_act_on_both_samplers_alike(studio: ComfyServer, reference: dict) -> None:
    """APG works before the guidance function: both samplers must run it, and Joint Flow Sampler also with more directions on."""
    apg = {"class_type": "APG", "inputs": {"model": ["1", 0], "eta": 0.5, "norm_threshold": 2.0, "momentum": -0.3}}
    results = []
    for prompt in (sampled("apg"), with_core_sampler("apg", "KSampler"), sampled("apg", video_sync_scale=0.3, audio_text_scale=2.0)):
        prompt["20"] = copy.deepcopy(apg)
        for inputs in (node["inputs"] for node in prompt.values() if node["class_type"] in ("JointFlowSampler", "KSampler")):
            inputs["model"] = ["20", 0]
        results.append(latent_of(studio, prompt))
    assert max(largest_difference(results[0], results[1])) < 1e-5
    assert min(largest_difference(results[0], reference)) > 1e-4
    unpatched = latent_of(studio, sampled("plain", video_sync_scale=0.3, audio_text_scale=2.0))
    assert min(largest_difference(results[2], unpatched)) > 1e-4


def test_a_model_saved_by_a_core_node_loads_again(studio: ComfyServer, reference: dict) -> None:
    """ModelSave keeps neither metadata nor codecs; the configuration travels along and the rest comes from where it was."""
    run = studio.queue({
        "1": {"class_type": "LoadUniTalkingModel", "inputs": {"checkpoint": CHECKPOINT, "weight_dtype": "default"}},
        "2": {"class_type": "ModelSave", "inputs": {"model": ["1", 0], "filename_prefix": "resaved/model"}},
    })  # fmt: skip
    assert run.ok, run.explain()
    [saved] = (studio.base / "output" / "resaved").glob("*.safetensors")
    saved.rename(studio.base / "models" / "unitalking" / "resaved.safetensors")
    prompt = sampled("resaved")
    prompt["1"]["inputs"]["checkpoint"] = "resaved.safetensors"
    assert max(largest_difference(latent_of(studio, prompt), reference)) < 1e-5


def test_context_windows_run(studio: ComfyServer) -> None:
    prompt = sampled("windows")
    prompt["7"]["inputs"]["seconds"] = 3.0
    window = {"context_length": 9, "context_overlap": 3, "context_schedule": "standard_static", "context_stride": 1, "closed_loop": False}
    window |= {"fuse_method": "pyramid", "dim": 2, "freenoise": False, "causal_window_fix": True, "split_conds_to_windows": False}
    window |= {"cond_retain_index_list": "", "latent_retain_index_list": ""}
    prompt["20"] = {"class_type": "ContextWindowsManual", "inputs": {"model": ["1", 0], **window}}
    prompt["8"]["inputs"]["model"] = ["20", 0]
    latent = latent_of(studio, prompt)
    assert all(latent[f"samples.{i}"].isfinite().all() for i in (0, 1))
    assert latent["samples.0"].shape[2] == 19


def test_a_soft_mask_runs(studio: ComfyServer) -> None:
    """Half a mask over the whole video."""
    prompt = sampled("soft")
    prompt["30"] = {"class_type": "SolidMask", "inputs": {"value": 0.5, "width": 64, "height": 64}}
    prompt["31"] = {"class_type": "SetLatentNoiseMask", "inputs": {"samples": ["7", 0], "mask": ["30", 0]}}
    prompt["8"]["inputs"]["latent"] = ["31", 0]
    latent = latent_of(studio, prompt)
    assert all(latent[f"samples.{i}"].isfinite().all() for i in (0, 1))
