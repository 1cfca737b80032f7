"""A transformer small enough for any test."""

from __future__ import annotations

import torch

from unitalking_core.config import AudioConfig, ModelConfig, TextConfig, TransformerConfig, VideoConfig
from unitalking_core.transformer import UniTalkingTransformer


def tiny_config(
    *,
    layers: int = 2,
    dim: int = 48,
    heads: int = 2,
    ffn_dim: int = 64,
    text_dim: int = 16,
    freq_dim: int = 32,
    video_channels: int = 8,
    audio_channels: int = 6,
) -> ModelConfig:
    return ModelConfig(
        name="tiny",
        transformer=TransformerConfig(layers=layers, dim=dim, heads=heads, ffn_dim=ffn_dim, text_dim=text_dim, freq_dim=freq_dim),
        video=VideoConfig(codec="none", channels=video_channels, fps=24, width=64, height=64),
        audio=AudioConfig(codec="none", channels=audio_channels, sample_rate=16000, samples_per_token=640),
        text=TextConfig(encoder="none", tokens=12),
    )


def tiny_model(seed: int = 0, **sizes: int) -> UniTalkingTransformer:
    """Weights are drawn larger than at initialisation, so that an ignored input shows."""
    torch.manual_seed(seed)
    model = UniTalkingTransformer(tiny_config(**sizes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return model
