"""What a file is, told by its tensors' names and shapes: so that a wrong file can be called by its name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..config import METADATA_KEY
from .container import CheckpointError
from .layouts import HOST_PREFIX, layout_of, original_name
from .source import Source, open_source

UNITALKING, UNITALKING_BARE, WAN22, WAN, OVI = "unitalking", "unitalking without configuration", "wan2.2-ti2v", "wan", "ovi"
NAVA, LTX_AUDIO = "nava", "ltx-2.3-audio"
MMAUDIO_44K, MMAUDIO_16K, VOCODER = "mmaudio-44k", "mmaudio-16k", "vocoder"
VIDEO_VAE, TEXT_ENCODER, LORA, TRAINING_STATE, OTHER = "video vae", "text encoder", "lora", "training state", "other"

CONFIG_TENSOR = "unitalking_config"
"""Where ComfyUI's saving nodes leave the configuration: its text as bytes, because they drop a file's metadata."""

Shapes = Mapping[str, tuple[int, ...]]


class Found(NamedTuple):
    """What a file is: `kind` is one of the constants above, `title` continues "this is ...". `layout` is a Wan model's spelling."""

    kind: str
    title: str
    layout: str = ""


def detect(path: str | os.PathLike) -> Found:
    """What the file (or set of shards) at `path` is. Reads headers only. Raises CheckpointError when it cannot be read at all."""
    source = open_source(path)
    return identify(shapes_of(source), source.metadata)


def shapes_of(source: Source) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a source's tensors."""
    return {name: info.shape for name, info in source.tensors.items()}


def identify(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> Found:
    """The same, of tensors' names and shapes."""
    bare = {name.removeprefix(HOST_PREFIX): shape for name, shape in shapes.items()}
    if "audio.blocks.0.self_attn.q.weight" in bare or "audio.head.head.weight" in bare:
        if METADATA_KEY in (metadata or {}) or CONFIG_TENSOR in bare:
            return Found(UNITALKING, "a UniTalking checkpoint")
        return Found(UNITALKING_BARE, "a UniTalking model whose configuration was lost")
    for signature in SIGNATURES:
        if signature.fits(bare):
            return Found(signature.kind, signature.title)
    if wan := _wan(bare):
        return wan
    first = min(shapes, default="none")
    return Found(OTHER, f"no model that is known here ({len(shapes)} tensors, the first is '{first}')")


@dataclass(frozen=True)
class Wanted:
    """What is expected where a file was given: in words, and where to get it."""

    kinds: tuple[str, ...]
    title: str
    remedy: str


A_UNITALKING = Wanted(
    (UNITALKING, UNITALKING_BARE, NAVA),
    "a UniTalking checkpoint or a NAVA model",
    "The nano model ships with the pack; `unitalking assemble` makes a full-size one for training from Wan2.2-TI2V-5B",
)
A_WAN22 = Wanted(
    (WAN22,),
    "the transformer of Wan2.2-TI2V-5B",
    "Get wan2.2_ti2v_5B_fp16.safetensors from Comfy-Org/Wan_2.2_ComfyUI_Repackaged, or the three shards of Wan-AI/Wan2.2-TI2V-5B",
)
AN_OVI = Wanted((OVI,), "an Ovi model", "Get model.safetensors or model_960x960.safetensors from chetwinlow1/Ovi")
CODECS = {
    MMAUDIO_44K: Wanted(
        (MMAUDIO_44K,), "MMAudio's audio codec for 44.1 kHz", "Convert v1-44.pth (hkchengrex/MMAudio) with `unitalking convert-audio-codec`"
    ),
    MMAUDIO_16K: Wanted(
        (MMAUDIO_16K,), "MMAudio's audio codec for 16 kHz", "Convert v1-16.pth (hkchengrex/MMAudio) with `unitalking convert-audio-codec`"
    ),
    LTX_AUDIO: Wanted((LTX_AUDIO,), "LTX-2.3's audio VAE", "Get ltx-2.3-22b-dev_audio_vae.safetensors of LTX-2.3"),
}
"""The audio codecs that a checkpoint may name and not hold, by the name in its configuration."""


def require(found: Found, wanted: Wanted, name: str) -> None:
    """Raises CheckpointError that tells what the file `name` is, what was expected and what to do, unless it is wanted."""
    if found.kind not in wanted.kinds:
        raise CheckpointError(f"{name}: this is {found.title}; {wanted.title} is expected. {wanted.remedy}")


def require_codec(path: str | os.PathLike, codec: str) -> None:
    """Raises CheckpointError unless the file is the audio codec that a checkpoint's configuration names."""
    name = Path(path).name
    if codec not in CODECS:
        raise CheckpointError(f"{name}: the codec '{codec}' comes in no file of its own; it is a part of the checkpoint")
    require(detect(path), CODECS[codec], name)


class Signature(NamedTuple):
    kind: str
    title: str
    fits: Callable[[Shapes], bool]


def _has(*parts: str) -> Callable[[Shapes], bool]:
    """Whether every one of these is a part of some name."""
    return lambda shapes: all(any(part in name for name in shapes) for part in parts)


def _named(*patterns: str) -> Callable[[Shapes], bool]:
    """Whether every one of these patterns is a whole name."""
    compiled = [re.compile(pattern) for pattern in patterns]
    return lambda shapes: all(any(pattern.fullmatch(name) for name in shapes) for pattern in compiled)


def _all_in(*prefixes: str) -> Callable[[Shapes], bool]:
    return lambda shapes: bool(shapes) and all(name.startswith(prefixes) for name in shapes)


def _codec(mels: int) -> Callable[[Shapes], bool]:
    return lambda shapes: any(name.endswith("data_mean") and shape == (1, mels, 1) for name, shape in shapes.items())


def _sized(pattern: str, shape: tuple[int, ...]) -> Callable[[Shapes], bool]:
    """Whether a tensor of this name begins with this shape."""
    compiled = re.compile(pattern)
    return lambda shapes: any(compiled.fullmatch(name) and found[: len(shape)] == shape for name, found in shapes.items())


SIGNATURES = (
    Signature(TRAINING_STATE, "a training run's saved state; use the checkpoint that the run exported", _has("average.", "optimizer0.")),
    Signature(LORA, "a LoRA, which is applied to a model and is none", _named(r".*(lora_(A|B|down|up)(\.default)?\.weight|lora_[AB])")),
    Signature(OVI, "an Ovi model", _has("video_model.blocks.0.", "audio_model.blocks.0.")),
    Signature(NAVA, "a NAVA model", _named(r"(backbone\.)?patch_embedding_audio\.0\.weight")),
    Signature(MMAUDIO_44K, "MMAudio's audio codec for 44.1 kHz (128 mel bands)", _codec(128)),
    Signature(MMAUDIO_16K, "MMAudio's audio codec for 16 kHz (80 mel bands)", _codec(80)),
    Signature("mmaudio-network", "MMAudio's network, which makes latents", _has("joint_blocks.0.", "fused_blocks.0.")),
    Signature(
        LTX_AUDIO,
        "LTX-2's audio VAE with its vocoder",
        _named(r"audio_vae\.per_channel_statistics\.mean-of-means", r"vocoder\.(vocoder\.)?resblocks\.0\.convs1\.0\.weight"),
    ),
    Signature(VOCODER, "a BigVGAN vocoder", _named(r".*resblocks\.0\.activations\.0\.act\.alpha")),
    Signature("sdxl", "an SDXL checkpoint", _has("conditioner.embedders.1.")),
    Signature("sd", "a Stable Diffusion 1 or 2 checkpoint", _has("cond_stage_model.", "input_blocks.0.")),
    Signature("unet", "a Stable Diffusion UNet", _named(r"(input_blocks\.0\.0|down_blocks\.0\.resnets\.0\.conv1)\.weight")),
    Signature("ltx-av", "an LTX-2 audio-video model", _named(r"audio_adaln_single\.linear\.weight")),
    Signature("ltx", "an LTX-Video model", _named(r"adaln_single\.linear\.weight")),
    Signature("hunyuan", "a HunyuanVideo model", _named(r"txt_in\.individual_token_refiner\..*")),
    Signature("flux", "a Flux model", _named(r"double_blocks\.0\.img_attn\.qkv\.weight", r"single_blocks\.0\.linear1\.weight")),
    Signature(
        OTHER, "a codec or text encoder of UniTalking without its transformer", _all_in("text_encoder.", "video_codec.", "audio_codec.")
    ),
    Signature("qwen-image", "a Qwen-Image model", _named(r"transformer_blocks\.0\.img_mod\.1\.weight")),
    Signature(VIDEO_VAE, "Wan2.2's video VAE", _sized(r"(vae\.|first_stage_model\.)?conv2\.weight", (48, 48))),
    Signature(VIDEO_VAE, "Wan2.2's video VAE in diffusers' layout", _sized(r"post_quant_conv\.weight", (48, 48, 1, 1, 1))),
    Signature(VIDEO_VAE, "Wan2.1's video VAE", _named(r"decoder\.middle\.0\.residual\.0\.gamma")),
    Signature(VIDEO_VAE, "an image or video VAE", _named(r"(first_stage_model\.|vae\.)?decoder\.(conv_in|conv1)(\.conv)?\.weight")),
    Signature(TEXT_ENCODER, "a UMT5 text encoder", _named(r".*block\.1\.layer\.0\.SelfAttention\.relative_attention_bias\.weight")),
    Signature(TEXT_ENCODER, "a UMT5 text encoder in Wan's own layout", _named(r"blocks\.1\.pos_embedding\.embedding\.weight")),
    Signature(TEXT_ENCODER, "a T5 text encoder", _named(r".*block\.0\.layer\.0\.SelfAttention\.q\.weight")),
    Signature(TEXT_ENCODER, "a CLIP text encoder", _named(r".*text_model\.encoder\.layers\.0\..*q_proj\.weight")),
    Signature(TEXT_ENCODER, "a language model", _named(r".*layers\.0\.self_attn\.q_proj\.weight")),
)


_WAN_VARIANTS = {
    "vace_patch_embedding.": "VACE",
    "control_adapter.": "Camera Control",
    "casual_audio_encoder.": "S2V",
    "audio_proj.": "HuMo",
    "face_adapter.": "Animate",
    "ref_conv.": "Fun Control",
    "patch_embedding_pose.": "SCAIL",
    "patch_embedding_mask.": "SCAIL-2",
    "patch_embedding_global.": "WanDancer",
}
"""What only variants of Wan have (the host's model_detection.py)."""
_WAN_SIZES = {(1536, 30): "1.3B", (5120, 40): "14B", (3072, 30): "5B"}


def _wan(shapes: Shapes) -> Found | None:
    layout = layout_of(shapes)
    named = {original_name(name, layout): shape for name, shape in shapes.items()}
    patch, head = named.get("patch_embedding.weight"), named.get("head.head.weight")
    if "head.modulation" not in named:
        return None
    if patch is None or len(patch) != 5 or head is None:
        return Found(WAN, "a part of a Wan model", layout)
    width, channels, out = patch[0], patch[1], head[0] // 4
    layers = 1 + max((int(m[1]) for name in named if (m := re.match(r"blocks\.(\d+)\.", name))), default=-1)
    size = _WAN_SIZES.get((width, layers), f"{layers} layers of {width}")
    if variant := next((title for part, title in _WAN_VARIANTS.items() if any(name.startswith(part) for name in named)), None):
        return Found(WAN, f"a Wan {size} {variant} model", layout)
    if channels == out == 48:
        if (width, layers) == (3072, 30):
            return Found(WAN22, "the transformer of Wan2.2-TI2V-5B", layout)
        return Found(WAN22, f"a Wan2.2-TI2V transformer of another size ({size})", layout)
    images = any(name.startswith("img_emb.") for name in named)
    if channels == out == 16:
        return Found(WAN, f"a Wan2.1 {size} T2V model" + (" (or half of a Wan2.2 A14B)" if size == "14B" else ""), layout)
    if channels == 36 and out == 16:
        return Found(WAN, f"a Wan2.1 {size} I2V model" if images else f"half of a Wan2.2 A14B I2V model ({size})", layout)
    return Found(WAN, f"a Wan {size} model with {channels} channels in and {out} out", layout)
