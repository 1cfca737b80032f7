"""The 10B model at an eighth of its width: heads, latents and text as they are, a few blocks, nano's codecs in place of the large ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from unitalking_core import checkpoint as checkpoints
from unitalking_core.checkpoint import quantization
from unitalking_core.codecs import build_audio_codec, build_video_codec
from unitalking_core.conditions.text import build_text_encoder
from unitalking_core.config import AudioConfig, ModelConfig, TextConfig
from unitalking_core.presets import ten_b
from unitalking_core.transformer import UniTalkingTransformer

LAYERS = 3


def scaled_config(layers: int = LAYERS) -> ModelConfig:
    full = ten_b()
    return replace(
        full,
        name="10b-eighth",
        transformer=replace(full.transformer, layers=layers, dim=384, heads=3, ffn_dim=1792, text_dim=512),
        video=replace(full.video, codec="nano-video", width=64, height=64, options={"hidden": 16, "blocks": 1}),
        audio=AudioConfig("nano-audio", 40, 16000, 640, max_voice_tokens=257, options={"hidden": 16, "blocks": 1}),
        text=TextConfig("nano-text", 512, {"hidden": 32, "blocks": 1, "layers": 1}),
        sampling=replace(full.sampling, seconds=1.0),
    )


def scaled_parts(config: ModelConfig, bundled: bool = True) -> dict[str, dict[str, Tensor]]:
    """Random weights, large enough that an input which is ignored shows; without `bundled` of the transformer alone."""
    torch.manual_seed(10)
    parts: dict[str, nn.Module] = {checkpoints.TRANSFORMER: UniTalkingTransformer(config)}
    if bundled:
        parts |= {
            checkpoints.TEXT_ENCODER: build_text_encoder(config.text, config.transformer.text_dim),
            checkpoints.VIDEO_CODEC: build_video_codec(config.video),
            checkpoints.AUDIO_CODEC: build_audio_codec(config.audio),
        }
    for parameter in parts[checkpoints.TRANSFORMER].parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.06)
    return {name: part.state_dict() for name, part in parts.items()}


def write_scaled(path: Path, dtype: torch.dtype = torch.bfloat16, layers: int = LAYERS) -> ModelConfig:
    """Weights of the transformer cast to `dtype`, the bundled parts as they are."""
    config = scaled_config(layers)
    parts = scaled_parts(config)
    parts[checkpoints.TRANSFORMER] = {key: value.to(dtype) for key, value in parts[checkpoints.TRANSFORMER].items()}
    checkpoints.save(path, config, parts)
    return config


def write_scaled_fp8(path: Path, layers: int = LAYERS, old: bool = False) -> None:
    """The same model with the linear layers of its blocks in fp8 and a scale each, the rest in bfloat16, as published files have it.

    `old`: in the spelling of files from before quantisation was told in the metadata.
    """
    config = scaled_config(layers)
    parts = scaled_parts(config)
    tensors: dict[str, Tensor] = {}
    told: dict[str, dict] = {}
    for key, value in parts.pop(checkpoints.TRANSFORMER).items():
        layer = key.removesuffix(".weight")
        if ".blocks." in f".{key}" and value.ndim == 2 and layer != key:
            tensors[key], tensors[layer + (".scale_weight" if old else ".weight_scale")] = quantization.quantized(value)
            told[layer] = {"format": quantization.FP8}
        else:
            tensors[key] = value.to(torch.bfloat16)
    if old:
        tensors["scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    tensors |= {f"{part}.{key}": value for part, state in parts.items() for key, value in state.items()}
    save_file(tensors, path, metadata=config.to_metadata() | ({} if old else quantization.metadata_of(told)))
