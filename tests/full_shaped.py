"""A model whose codecs and text encoder are the public ones of 10b, narrow, and their files in published layouts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from reference import filled, manifest
from safetensors.torch import save_file
from tiny import tiny_config

from tests.codecs.published_weights import HIDDEN, raw_vae, raw_vocoder
from tests.conditions import tiny_umt5
from unitalking_core.checkpoint import AUDIO_CODEC, TEXT_ENCODER, VIDEO_CODEC
from unitalking_core.codecs import build_video_codec
from unitalking_core.codecs.convert import convert
from unitalking_core.codecs.mmaudio import mmaudio_config
from unitalking_core.codecs.wan import own_names
from unitalking_core.config import ModelConfig, TextConfig, VideoConfig


def full_shaped() -> ModelConfig:
    """The 10b preset's parts, narrow."""
    video = VideoConfig("wan2.2-vae", 48, 24, 32, 32, options={"base_dim": 16, "decoder_base_dim": 16})
    tiny = tiny_config(text_dim=32, video_channels=48, audio_channels=40)
    text = TextConfig("umt5-xxl", 24, dict(tiny_umt5.SIZES))
    return dataclasses.replace(tiny, video=video, audio=mmaudio_config("mmaudio-44k", HIDDEN, 64), text=text)


def write_public_parts(folder: Path) -> dict[str, Path]:
    """By part: UMT5 in ComfyUI's names (and once more without its tokenizer), the VAE in Wan's, the converted audio codec."""
    shapes = build_video_codec(full_shaped().video).state_dict()
    published = {key: filled(key, tuple(shapes[own].shape)) for key in manifest("wan2.2_vae") for own in own_names({key: torch.empty(0)})}
    save_file(published, folder / "wan2.2_vae.safetensors")
    encoder = {f"encoder.{key}": value for key, value in tiny_umt5.make().encoder.state_dict().items()}
    encoder["shared.weight"] = encoder.pop("encoder.embed_tokens.weight")
    spiece = torch.tensor(list(tiny_umt5.tokenizer()), dtype=torch.uint8)
    save_file(encoder | {"spiece_model": spiece}, folder / "umt5.safetensors")
    save_file(encoder, folder / "umt5_bare.safetensors")
    torch.save(raw_vae("mmaudio-44k"), folder / "v1-44.pth")
    torch.save({"generator": raw_vocoder("mmaudio-44k", 64)}, folder / "bigvgan_generator.pt")
    convert(folder / "v1-44.pth", folder / "bigvgan_generator.pt", folder / "mmaudio.safetensors")
    names = {TEXT_ENCODER: "umt5.safetensors", VIDEO_CODEC: "wan2.2_vae.safetensors", AUDIO_CODEC: "mmaudio.safetensors"}
    return {part: folder / name for part, name in names.items()}
