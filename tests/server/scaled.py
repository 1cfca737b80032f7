"""The 10B model at an eighth of its width: its heads, latents and text as they are, a few blocks, and nano's codecs in place of the large ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from unitalking_core import checkpoint as checkpoints
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


def scaled_parts(config: ModelConfig) -> dict[str, dict[str, Tensor]]:
    """Random weights, large enough that an input which is ignored shows."""
    torch.manual_seed(10)
    parts = {
        checkpoints.TRANSFORMER: UniTalkingTransformer(config),
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
