"""Files that cannot be used: what the loader, a LoRA or the sampler says about them, while the server lives on."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from scripts.comfy_client import Prompt
from tests.server.graphs import CHECKPOINT, latent_of, sampled
from tests.server.harness import ComfyServer
from tests.server.scaled import scaled_config, scaled_parts
from unitalking_core import checkpoint as checkpoints
from unitalking_core.presets import ten_b

RandomWeights = dict[str, torch.Tensor]


def _changed(change: Callable[[RandomWeights], object]) -> Callable[[Path], None]:
    """The random checkpoint with its weights changed."""

    def write(path: Path) -> None:
        source = path.with_name(CHECKPOINT)
        with safe_open(source, "pt") as file:
            metadata = file.metadata()
        weights = load_file(source)
        change(weights)
        save_file(weights, path, metadata=metadata)

    return write


def _nan(key: str) -> Callable[[Path], None]:
    return _changed(lambda weights: weights[key].view(-1)[:1].fill_(float("nan")))


def _truncated(path: Path) -> None:
    path.write_bytes(path.with_name(CHECKPOINT).read_bytes()[:-1000])


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"blocks.0.self_attn.q.weight": [0.0]}))


def _zipped_pickle(path: Path) -> None:
    torch.save({"blocks.0.self_attn.q.weight": torch.zeros(2, 2)}, path)


def _wan_14b(path: Path) -> None:
    shapes = {"patch_embedding.weight": (5120, 16, 1, 2, 2), "head.head.weight": (64, 5120), "head.modulation": (1, 2, 5120)}
    save_file({key: torch.zeros(shape, dtype=torch.float8_e4m3fn) for key, shape in shapes.items()}, path)


def _flux(path: Path) -> None:
    save_file({name: torch.zeros(1) for name in ("double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight")}, path)


def _split(path: Path) -> None:
    """The scaled-down transformer alone, with the names of the full-size model's public parts."""
    full, config = ten_b(), scaled_config()
    config = replace(config, text=full.text, audio=full.audio, video=replace(config.video, codec=full.video.codec))
    checkpoints.save(path, config, {checkpoints.TRANSFORMER: scaled_parts(config, bundled=False)[checkpoints.TRANSFORMER]})


CHECKPOINTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (_truncated, "cut off"),
    "a pickle": (_pickled, "a pickle file"),
    "a pickle in a zip archive": (_zipped_pickle, "a pickle file or a zip archive"),
    "a web page": (lambda path: path.write_text("<!DOCTYPE html><html>"), "a web page"),
    "a pointer to a file": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"), "Git LFS pointer"),
    "nothing": (lambda path: path.write_bytes(b""), "bad.safetensors"),
    "Wan2.1 14B": (_wan_14b, "Wan2.1"),
    "Flux": (_flux, "a Flux model"),
    "a weight missing": (_changed(lambda weights: weights.pop("audio.blocks.1.ffn.0.weight")), "1 missing: audio.blocks.1.ffn.0.weight"),
    "a weight of another shape": (
        _changed(lambda weights: weights.update({"blocks.0.ffn.2.bias": torch.zeros(7)})),
        "blocks.0.ffn.2.bias is (7,), expected (96,)",
    ),
    "a weight too many": (_changed(lambda weights: weights.update({"blocks.9.ffn.0.bias": torch.zeros(7)})), "1 unexpected"),
    "NaN in a norm": (_nan("blocks.1.norm3.weight"), "blocks.1.norm3.weight holds NaN"),
    "NaN in a matrix": (_nan("blocks.1.ffn.0.weight"), "blocks.1.ffn.0.weight holds NaN"),
}


def loading(checkpoint: str, **inputs: str) -> Prompt:
    prompt = sampled("refused")
    prompt["1"]["inputs"] |= {"checkpoint": checkpoint, **inputs}
    return prompt


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_checkpoint_that_cannot_be_used(studio: ComfyServer, case: str) -> None:
    write, message = CHECKPOINTS[case]
    write(studio.base / "models" / "unitalking" / "bad.safetensors")
    refused(studio, loading("bad.safetensors"), "LoadUniTalkingModel", "bad.safetensors", message)


def test_nan_in_a_matrix_too_large_to_be_looked_through(studio: ComfyServer) -> None:
    """The first step finds it, and says which weight it is."""
    config = scaled_config(layers=1)
    parts = scaled_parts(config)
    parts[checkpoints.TRANSFORMER]["blocks.0.ffn.2.weight"][3, 5] = float("nan")
    checkpoints.save(studio.base / "models" / "unitalking" / "bad.safetensors", config, parts)
    prompt = loading("bad.safetensors")
    prompt["8"]["inputs"]["steps"] = 1000
    refused(studio, prompt, "JointFlowSampler", "1 of the model's weights hold NaN or infinity: blocks.0.ffn.2.weight")


def refused(studio: ComfyServer, prompt: Prompt, node: str, *words: str) -> None:
    run = studio.queue(prompt)
    assert run.status in ("error", "rejected")
    for word in (node, *words):
        assert word in run.explain()
    assert studio.running


def test_every_missing_part_is_named_with_folder_and_source(studio: ComfyServer) -> None:
    _split(studio.base / "models" / "diffusion_models" / "split.safetensors")
    models = studio.base / "models"
    named = (
        ("umt5_xxl_fp8_e4m3fn_scaled.safetensors", str(models / "text_encoders"), "Comfy-Org/Wan_2.1_ComfyUI_repackaged"),
        ("wan2.2_vae.safetensors", str(models / "vae"), "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"),
        ("mmaudio_44k.safetensors", str(models / "audio_codecs"), "unitalking convert-audio-codec"),
    )
    refused(studio, loading("split.safetensors"), "LoadUniTalkingModel", *(word for words in named for word in words))


def _mmaudio_16k(path: Path) -> None:
    save_file({"audio_codec.vae.data_mean": torch.zeros(1, 80, 1)}, path)


def _wan21_vae(path: Path) -> None:
    save_file({"decoder.middle.0.residual.0.gamma": torch.zeros(384, 1, 1, 1)}, path)


def _t5(path: Path) -> None:
    save_file({"encoder.block.0.layer.0.SelfAttention.q.weight": torch.zeros(2, 2)}, path)


def _cut_off(path: Path) -> None:
    path.write_bytes((1 << 20).to_bytes(8, "little") + b"{")


PARTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "text_encoder": ("text_encoders", _t5, "t5.safetensors: this is a T5 text encoder; umt5-xxl is expected"),
    "vae": ("vae", _wan21_vae, "wan21.safetensors: this is Wan2.1's video VAE; wan2.2-vae is expected"),
    "audio_codec": ("audio_codecs", _mmaudio_16k, "16k.safetensors: this is MMAudio's audio codec for 16 kHz (80 mel bands); mmaudio-44k"),
}


def test_parts_of_other_models_are_called_by_their_names(studio: ComfyServer) -> None:
    """All of them at once."""
    _split(studio.base / "models" / "diffusion_models" / "split.safetensors")
    chosen = {}
    for name, (folder, write, message) in PARTS.items():
        (studio.base / "models" / folder).mkdir(exist_ok=True)
        chosen[name] = message.partition(":")[0]
        write(studio.base / "models" / folder / chosen[name])
    messages = [message for _, _, message in PARTS.values()]
    refused(studio, loading("split.safetensors", **chosen), "LoadUniTalkingModel", *messages)


def test_a_part_that_is_cut_off_is_named(studio: ComfyServer) -> None:
    _split(studio.base / "models" / "diffusion_models" / "split.safetensors")
    _cut_off(studio.base / "models" / "text_encoders" / "half.safetensors")
    refused(studio, loading("split.safetensors", text_encoder="half.safetensors"), "LoadUniTalkingModel", "half.safetensors is cut off")


def test_a_part_for_a_model_that_has_its_own(studio: ComfyServer) -> None:
    _t5(studio.base / "models" / "text_encoders" / "t5.safetensors")
    refused(
        studio, loading(CHECKPOINT, text_encoder="t5.safetensors"), "LoadUniTalkingModel", "text encoder is its own (nano-text)", "bundled"
    )


LORAS = {
    "of a model with other names": ({"lora_unet_double_blocks_0_img_attn_qkv": (96, 96)}, "changes nothing"),
    "of Wan 14B": (
        {"diffusion_model.blocks.0.self_attn.q": (5120, 5120)},
        "blocks.0.self_attn.q.weight is (5120, 5120), this model's is (96, 96)",
    ),
}


@pytest.mark.parametrize("case", LORAS)
def test_a_lora_that_changes_nothing(studio: ComfyServer, loras: Path, case: str) -> None:
    layers, message = LORAS[case]
    state = {}
    for layer, (outputs, inputs) in layers.items():
        state |= {f"{layer}.lora_up.weight": torch.ones(outputs, 1), f"{layer}.lora_down.weight": torch.ones(1, inputs)}
    name = f"{case}.safetensors"  # the loader keeps the file it read last, by its name
    save_file(state, loras / name)
    prompt = sampled("refused")
    inputs = {"model": ["1", 0], "lora_name": name, "strength_model": 1.0}
    prompt["20"] = {"class_type": "LoraLoaderModelOnly", "inputs": inputs}
    prompt["8"]["inputs"]["model"] = ["20", 0]
    refused(studio, prompt, "LoraLoaderModelOnly", message, "Wan2.2 TI2V 5B")


def test_after_all_that_a_model_still_samples(studio: ComfyServer) -> None:
    latent_of(studio, sampled("alive"))
