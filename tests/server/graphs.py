"""Graphs for the node tests: the main job on a small random model, and variations of it."""

from __future__ import annotations

import copy
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from scripts.comfy_client import Prompt
from scripts.host import ROOT
from tests.server.harness import ComfyServer
from tests.voices import spoken
from unitalking_core import checkpoint as checkpoints
from unitalking_core.codecs import build_audio_codec, build_video_codec
from unitalking_core.conditions.text import build_text_encoder
from unitalking_core.config import AudioConfig, ModelConfig, SamplingConfig, TextConfig, TransformerConfig, VideoConfig
from unitalking_core.transformer import UniTalkingTransformer

CHECKPOINT = "random.safetensors"
SEED = 1
PORTRAIT, VOICE = "test_portrait.png", "test_voice.wav"


def random_config() -> ModelConfig:
    """Like nano, but tiny; means and deviations away from 0 and 1, so that a forgotten normalisation shows."""
    return ModelConfig(
        name="random",
        transformer=TransformerConfig(layers=2, dim=96, heads=2, ffn_dim=128, text_dim=32, freq_dim=64),
        video=VideoConfig("nano-video", 12, 24, 64, 64, mean=(0.5,) * 12, std=(2.0,) * 12, preview=((0.1, 0.1, 0.1),) * 13),
        audio=AudioConfig("nano-audio", 10, 16000, 640, max_voice_tokens=30, mean=(-0.5,) * 10, std=(3.0,) * 10),
        text=TextConfig("nano-text", 64, {"hidden": 32, "blocks": 1, "layers": 1}),
        sampling=SamplingConfig(shift=3.0, steps=4, text_scale=3.0, seconds=1.0),
    )


def furnish(comfy: ComfyServer) -> None:
    """Put the random checkpoint and the inputs where a server finds them."""
    models = comfy.base / "models" / "unitalking"
    models.mkdir(parents=True, exist_ok=True)
    write_random_checkpoint(models / CHECKPOINT)
    write_inputs(comfy.base / "input")


def write_random_checkpoint(path: Path) -> None:
    """Weights large enough that an input which is ignored shows."""
    torch.manual_seed(0)
    config = random_config()
    parts = {
        checkpoints.TRANSFORMER: UniTalkingTransformer(config),
        checkpoints.TEXT_ENCODER: build_text_encoder(config.text, config.transformer.text_dim),
        checkpoints.VIDEO_CODEC: build_video_codec(config.video),
        checkpoints.AUDIO_CODEC: build_audio_codec(config.audio),
    }
    for parameter in parts[checkpoints.TRANSFORMER].parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.12)
    checkpoints.save(path, config, {name: part.state_dict() for name, part in parts.items()})


def write_inputs(folder: Path) -> None:
    """A picture of an odd size and a recording at another rate than the model's."""
    noise = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((161, 203), Image.Resampling.BICUBIC).save(folder / PORTRAIT)
    write_wave(folder / VOICE, spoken(3, 22050)[0], 22050)


def write_wave(path: Path, waveform: Tensor, rate: int) -> None:
    """(N,) float in [-1, 1] -> 16-bit mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((waveform * 32767).numpy().astype("<i2").tobytes())


def main_job() -> Prompt:
    """The shipped workflow, on the random model and inputs."""
    prompt = json.loads((ROOT / "workflows" / "api" / "unitalking_nano_talking_portrait.json").read_text())
    prompt["1"]["inputs"]["checkpoint"] = CHECKPOINT
    prompt["2"]["inputs"]["image"], prompt["3"]["inputs"]["audio"] = PORTRAIT, VOICE
    prompt["4"]["inputs"]["text"] = "<S>the red bird sings<E> a woman"
    prompt["7"]["inputs"]["seconds"] = 0.6
    prompt["8"]["inputs"] |= {"steps": 4, "seed": SEED}
    prompt["8"]["inputs"] |= {
        "video_text_scale": 3.0,
        "audio_text_scale": 3.0,
        "voice_scale": 1.0,
        "video_sync_scale": 0.0,
    }  # the tests' model's own
    return prompt


def sampled(name: str, **settings: Any) -> Prompt:
    """The main job up to the sampled latent, which goes into the file `name`."""
    prompt = main_job()
    del prompt["9"], prompt["10"]
    prompt["8"]["inputs"].update(settings)
    prompt["90"] = {"class_type": "ProbeLatent", "inputs": {"latent": ["8", 0], "name": name}}
    return prompt


def with_core_sampler(name: str, kind: str, **settings: Any) -> Prompt:
    """`sampled` with KSampler or SamplerCustomAdvanced in place of JointFlowSampler, the voice put on by UniTalkingApplyVoice."""
    prompt = sampled(name)
    for node, source in (("40", "4"), ("50", "5")):
        prompt[node] = {"class_type": "UniTalkingApplyVoice", "inputs": {"conditioning": [source, 0], "voice": ["6", 0]}}
    conditions = {"positive": ["40", 0], "negative": ["50", 0]}
    if kind == "KSampler":
        inputs = {"model": ["1", 0], **conditions, "latent_image": ["7", 0], "seed": SEED, "steps": 4, "cfg": 3.0}
        inputs |= {"sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
        prompt["8"] = {"class_type": kind, "inputs": inputs | settings}
        return prompt
    inputs = {"noise": ["81", 0], "guider": ["82", 0], "sampler": ["83", 0], "sigmas": ["84", 0], "latent_image": ["7", 0]}
    prompt["8"] = {"class_type": kind, "inputs": inputs}
    prompt["81"] = {"class_type": "RandomNoise", "inputs": {"noise_seed": SEED}}
    prompt["82"] = {"class_type": "CFGGuider", "inputs": {"model": ["1", 0], **conditions, "cfg": 3.0}}
    prompt["83"] = {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}}
    prompt["84"] = {"class_type": "BasicScheduler", "inputs": {"model": ["1", 0], "scheduler": "simple", "steps": 4, "denoise": 1.0}}
    return prompt


def latent_of(comfy: ComfyServer, prompt: Prompt) -> dict[str, Tensor]:
    """Run a graph that ends in ProbeLatent and read what it wrote."""
    run = comfy.queue(copy.deepcopy(prompt))
    assert run.ok, run.explain()
    return load_file(comfy.base / "output" / f"{prompt['90']['inputs']['name']}.safetensors")


def largest_difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> tuple[float, float]:
    """Of the video and of the audio stream."""
    return tuple(float((a[f"samples.{i}"] - b[f"samples.{i}"]).abs().max()) for i in (0, 1))
