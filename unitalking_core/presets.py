"""Models by name. A preset fixes the architecture; what is learned (latent statistics) is filled in by training."""

from __future__ import annotations

from dataclasses import replace

from .config import AudioConfig, ModelConfig, SamplingConfig, TextConfig, TransformerConfig, VideoConfig


def nano() -> ModelConfig:
    """A UniTalking small enough for a laptop: 128x128 at 24 fps, speech at 16 kHz, about two seconds."""
    return ModelConfig(
        name="nano",
        transformer=TransformerConfig(layers=6, dim=192, heads=3, ffn_dim=768, text_dim=192, freq_dim=128, audio_kernel=5),
        video=VideoConfig(codec="nano-video", channels=40, fps=24, width=128, height=128, options={"hidden": 96, "blocks": 2, "fine": 48}),
        audio=AudioConfig(
            codec="nano-audio",
            channels=40,
            sample_rate=16000,
            samples_per_token=640,
            max_voice_tokens=75,
            options={"hidden": 192, "blocks": 2, "vocoder": "griffin-lim", "iterations": 50, "momentum": 0.99},
        ),
        text=TextConfig(encoder="nano-text", tokens=192, options={"hidden": 128, "blocks": 3, "layers": 2}),
        sampling=SamplingConfig(shift=3.0, steps=20, text_scale=3.0, seconds=49 / 24),
    )


def pico() -> ModelConfig:
    """Nano's codecs under a quarter of its transformer, for comparisons that must be cheap. It is not meant to be good."""
    model = nano()
    return replace(model, name="pico", transformer=replace(model.transformer, layers=4, dim=128, heads=2, ffn_dim=512))


PRESETS = {"nano": nano, "pico": pico}
