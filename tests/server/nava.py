"""Small NAVA checkpoints for the node tests, and the main job on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from scripts.comfy_client import Prompt
from tests.checkpoint.test_nava import in_fp8, small
from tests.server.graphs import VOICE, sampled
from tests.server.scaled import scaled_config, scaled_parts
from unitalking_core import checkpoint as checkpoints
from unitalking_core.checkpoint.nava import our_names
from unitalking_core.codecs import build_video_codec
from unitalking_core.conditions.text import build_text_encoder
from unitalking_core.config import AudioConfig, TextConfig
from unitalking_core.presets import nava_6b, nava_sharing

BF16, FP8 = "nava_small.safetensors", "nava_small_fp8.safetensors"
LTX = "ltx_small.safetensors"
STEPS = 3
"""What the small model is said to have been made for; its scales are NAVA's own."""


def write(folder: Path) -> None:
    """The small model with nano's text encoder and video codec beside it; its audio codec is a file of its own."""
    weights = small()
    path = folder / "theirs.safetensors"
    save_file(weights, path)
    loaded = checkpoints.load(path)
    path.unlink()
    config = replace(
        loaded.config,
        text=TextConfig("nano-text", 256, {"hidden": 32, "blocks": 1, "layers": 1}),
        video=replace(loaded.config.video, codec="nano-video", width=64, height=64, options={"hidden": 16, "blocks": 1}),
        sampling=replace(loaded.config.sampling, steps=STEPS),
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


def write_scaled(path: Path) -> None:
    """The 6B at an eighth of its width, with nano's codecs: one block that shares little, two that share everything."""
    nava, like = nava_6b(), scaled_config()
    sizes = {"layers": 3, "dim": 384, "heads": 3, "ffn_dim": 1792, "text_dim": 512, "audio_hidden": 1024}
    config = replace(
        like,
        name="nava-eighth",
        transformer=replace(nava.transformer, **sizes, sharing=nava_sharing(1, 3)),
        audio=AudioConfig("nano-audio", 128, 48000, 1920, max_voice_tokens=0, options={"hidden": 16, "blocks": 1}, phase=0.0),
        sampling=replace(nava.sampling, seconds=1.0),
    )
    parts = scaled_parts(config)
    parts[checkpoints.TRANSFORMER] = {key: value.to(torch.bfloat16) for key, value in parts[checkpoints.TRANSFORMER].items()}
    checkpoints.save(path, config, parts)


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
