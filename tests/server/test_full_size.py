"""The 10B model's shape in the real host, at an eighth of its width: stored types, LoRA, saving, compilation, and Wan beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from scripts.comfy_client import Prompt
from tests.reference import manifest
from tests.server.graphs import largest_difference, latent_of, sampled
from tests.server.harness import ComfyServer
from tests.server.scaled import LAYERS, write_scaled, write_scaled_fp8
from unitalking_core import checkpoint as checkpoints
from unitalking_core.checkpoint import gguf
from unitalking_core.training.config import LoraOptions
from unitalking_core.training.lora import save_adapters

FILES: dict[str, Callable[[Path], object]] = {
    "bf16": write_scaled,
    "fp8": lambda path: write_scaled(path, torch.float8_e4m3fn),
    "fp8_scaled": write_scaled_fp8,
    "fp8_scaled_old": lambda path: write_scaled_fp8(path, old=True),
}


PACKED = ("q4_0", "q8_0")


@pytest.fixture(scope="module")
def eighth(studio: ComfyServer) -> ComfyServer:
    """The server with the scaled-down model in every stored type."""
    folder = studio.base / "models" / "diffusion_models"
    for name, write in FILES.items():
        write(folder / f"eighth_{name}.safetensors")
    for kind in PACKED:
        gguf.save(folder / f"eighth_{kind}.gguf", checkpoints.load(folder / "eighth_bf16.safetensors"), kind)
    return studio


@pytest.fixture(scope="module")
def reference(eighth: ComfyServer) -> dict[str, Tensor]:
    return latent_of(eighth, job("bf16"))


def job(name: str, **inputs: str) -> Prompt:
    prompt = sampled("eighth", steps=3)
    prompt["1"]["inputs"] |= {"checkpoint": f"eighth_{name}.{'gguf' if name in PACKED else 'safetensors'}", **inputs}
    return prompt


def with_lora(prompt: Prompt, lora: str) -> Prompt:
    inputs = {"model": ["1", 0], "lora_name": f"{lora}.safetensors", "strength_model": 1.0}
    prompt["20"] = {"class_type": "LoraLoaderModelOnly", "inputs": inputs}
    prompt["8"]["inputs"]["model"] = ["20", 0]
    return prompt


def likeness(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The smaller of both streams' cosines."""
    return min(float(torch.cosine_similarity(a[f"samples.{i}"].flatten(), b[f"samples.{i}"].flatten(), dim=0)) for i in (0, 1))


def adapters(layers: list[str], dim: int = 384, rank: int = 4) -> dict[str, Tensor]:
    """Weights of an adapted model as the trainer has them."""
    generator = torch.Generator().manual_seed(1)
    shapes = {"A": (rank, dim), "B": (dim, rank)}
    return {
        f"transformer.{layer}.lora_{side}.default.weight": 0.2 * torch.randn(shape, generator=generator)
        for layer in layers
        for side, shape in shapes.items()
    }


OWN = [f"{stream}blocks.{i}.self_attn.{name}" for stream in ("", "audio.") for i in range(LAYERS) for name in "qkvo"]


@pytest.fixture(scope="module")
def own_lora(studio: ComfyServer) -> str:
    folder = studio.base / "models" / "loras"
    save_adapters(folder / "own.safetensors", adapters(OWN), LoraOptions(rank=4, alpha=4))
    return "own"


@pytest.mark.parametrize(
    ("name", "least"), [("fp8", 0.98), ("fp8_scaled", 0.98), ("fp8_scaled_old", 0.98), ("q8_0", 0.999), ("q4_0", 0.95)]
)
def test_stored_in_few_bits_it_is_close(eighth: ComfyServer, reference: dict, name: str, least: float) -> None:
    got = latent_of(eighth, job(name))
    assert min(largest_difference(got, reference)) > 0
    assert likeness(got, reference) > least


def test_a_packed_model_stays_packed_in_memory(eighth: ComfyServer) -> None:
    sizes = {}
    for name in ("bf16", "q4_0"):
        prompt = {"1": job(name)["1"], "2": {"class_type": "ProbeModel", "inputs": {"model": ["1", 0], "name": name}}}
        run = eighth.queue(prompt)
        assert run.ok, run.explain()
        sizes[name] = json.loads((eighth.base / "output" / f"{name}.json").read_text())["bytes"]
    assert sizes["q4_0"] < 0.5 * sizes["bf16"]


def test_a_packed_model_is_not_saved(eighth: ComfyServer) -> None:
    save = {"class_type": "ModelSave", "inputs": {"model": ["1", 0], "filename_prefix": "saved/packed"}}
    run = eighth.queue({"1": job("q8_0")["1"], "2": save})
    assert "from a GGUF file cannot be saved" in run.explain()
    assert not list((eighth.base / "output").glob("saved/packed*"))


@pytest.mark.parametrize("weight_dtype", ["fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"])
def test_cast_to_8_bits_it_is_close(eighth: ComfyServer, reference: dict, weight_dtype: str) -> None:
    assert likeness(latent_of(eighth, job("bf16", weight_dtype=weight_dtype)), reference) > 0.95


@pytest.mark.parametrize("name", ["bf16", "fp8", "fp8_scaled", "q8_0"])
def test_an_own_lora_acts_on_every_stored_type(eighth: ComfyServer, own_lora: str, name: str) -> None:
    plain, changed, again = (latent_of(eighth, prompt) for prompt in (job(name), with_lora(job(name), own_lora), job(name)))
    assert min(largest_difference(plain, changed)) > 1e-2
    assert likeness(changed, latent_of(eighth, with_lora(job("bf16"), own_lora))) > 0.98
    assert max(largest_difference(plain, again)) == 0


def test_an_own_lora_patches_both_streams_and_one_of_wan_the_picture_alone(eighth: ComfyServer, own_lora: str) -> None:
    wan = {key: value for key, value in load_file(eighth.base / "models" / "loras" / "own.safetensors").items() if ".audio." not in key}
    save_file(wan, eighth.base / "models" / "loras" / "wan.safetensors")
    for lora, expected in (("own", OWN), ("wan", [name for name in OWN if not name.startswith("audio.")])):
        prompt = with_lora(job("bf16"), lora)
        del prompt["8"], prompt["90"]
        prompt["91"] = {"class_type": "ProbeModel", "inputs": {"model": ["20", 0], "name": lora}}
        run = eighth.queue(prompt)
        assert run.ok, run.explain()
        report = json.loads((eighth.base / "output" / f"{lora}.json").read_text())
        assert report["patched"] == sorted(f"{name}.weight" for name in expected)


@pytest.mark.parametrize("name", ["bf16", "fp8", "fp8_scaled"])
def test_saved_by_a_core_node_it_gives_the_same(eighth: ComfyServer, name: str) -> None:
    before = latent_of(eighth, job(name))
    run = eighth.queue({
        "1": job(name)["1"],
        "2": {"class_type": "ModelSave", "inputs": {"model": ["1", 0], "filename_prefix": f"saved/{name}"}},
    })  # fmt: skip
    assert run.ok, run.explain()
    [saved] = (eighth.base / "output" / "saved").glob(f"{name}_*.safetensors")
    saved.rename(eighth.base / "models" / "diffusion_models" / f"eighth_{name}_saved.safetensors")
    assert max(largest_difference(latent_of(eighth, job(f"{name}_saved")), before)) < 1e-5


@pytest.mark.parametrize(("name", "rounding"), [("bf16", 2e-2), ("fp8_scaled", 0.1), ("q8_0", 2e-2)])
def test_loaded_partially_it_gives_the_same(eighth: ComfyServer, own_lora: str, name: str, rounding: float) -> None:
    """As on a card that is too small: every layer's weights are brought when it is computed, and its LoRA is applied there.

    Loaded whole, the host rounds the weights that a LoRA has changed to their stored type again.
    """
    for lora, closeness in ((False, 1e-5), (True, rounding)):
        prompt = with_lora(job(name), own_lora) if lora else job(name)
        probe = {"class_type": "ProbePartialLoad", "inputs": {"model": ["20" if lora else "1", 0], "name": f"partial {name}"}}
        run = eighth.queue({key: prompt[key] for key in ("1", "20") if key in prompt} | {"91": probe})
        assert run.ok, run.explain()
        report = json.loads((eighth.base / "output" / f"partial {name}.json").read_text())
        assert {"blocks.0.ffn.0", "audio.blocks.2.cross_attn.k_voice", "blocks.1.modulation"} <= set(report["left out"])
        assert max(report["distances"]) < closeness, lora


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bf16", "fp8_scaled"])
def test_compiled_by_a_core_node_it_gives_the_same(eighth: ComfyServer, name: str) -> None:
    prompt = job(name)
    prompt["20"] = {"class_type": "TorchCompileModel", "inputs": {"model": ["1", 0], "backend": "inductor"}}
    prompt["8"]["inputs"]["model"] = ["20", 0]
    assert max(largest_difference(latent_of(eighth, prompt), latent_of(eighth, job(name)))) < 1e-2


def test_without_sound_it_is_the_hosts_own_wan(studio: ComfyServer) -> None:
    """The video stream, alone or with the streams apart, against the host's WanModel with the same weights."""
    prompt = sampled("unused")
    run = studio.queue({"1": prompt["1"], "2": {"class_type": "ProbeWan", "inputs": {"model": ["1", 0], "name": "wan"}}})
    assert run.ok, run.explain()
    for times, distances in json.loads((studio.base / "output" / "wan.json").read_text()).items():
        assert distances["alone"] < 1e-5, times
        assert distances["apart"] < 1e-5, times
        assert distances["joint"] > 1e-2, "sound that is seen changes the picture"


@pytest.mark.parametrize(("model", "published"), [("umt5-xxl", "umt5_xxl_encoder.host_hf_layout"), ("wan2.2-vae", "wan2.2_vae")])
def test_the_hosts_loaders_take_the_published_files(studio: ComfyServer, model: str, published: str) -> None:
    """Key for key: what the host builds for UMT5-XXL and Wan2.2's VAE is what their files hold."""
    run = studio.queue({"1": {"class_type": "ProbeHostModels", "inputs": {"name": "host_models"}}})
    assert run.ok, run.explain()
    built = json.loads((studio.base / "output" / "host_models.json").read_text())[model]
    assert built == {key: list(tensor.shape) for key, tensor in manifest(published).items()}
