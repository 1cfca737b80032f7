"""LoadUniTalkingModel: a checkpoint's transformer, text encoder and codecs."""

from __future__ import annotations

from typing import Any

import folder_paths
from comfy_api.latest import io

from ..unitalking_core import checkpoint as checkpoints
from ..unitalking_core.checkpoint import AUDIO_CODEC, TEXT_ENCODER, VIDEO_CODEC
from ..unitalking_core.config import ModelConfig
from .files import BUNDLED, CHECKPOINTS, FOLDERS, NANO, checkpoint_names, checkpoint_path, choices
from .loading import WEIGHT_DTYPES, patcher_of, read, with_bundled_parts
from .parts import load_audio_vae, load_text_encoder, load_video_vae, require_right_choices
from .report import say
from .sampler import own_settings


def _part(name: str, part: str, tooltip: str) -> io.Combo.Input:
    tooltip += " 'bundled' takes the one in the checkpoint, as nano has it."
    return io.Combo.Input(name, options=choices(part), default=BUNDLED, optional=True, tooltip=tooltip)


class LoadUniTalkingModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        names = checkpoint_names()
        return io.Schema(
            node_id="LoadUniTalkingModel",
            display_name="Load UniTalking Model",
            category="UniTalking",
            description="Loads a UniTalking checkpoint or NAVA's: the joint audio-video model with its text encoder and both codecs. "
            "The nano model ships with the pack; put others into models/unitalking or models/diffusion_models.",
            search_aliases=["talking head", "lip sync", "audio video model", "unitalking checkpoint"],
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=names,
                    default=NANO if NANO in names else next(iter(names), None),
                    tooltip="A UniTalking checkpoint (.safetensors, .gguf) or NAVA, in models/unitalking or models/diffusion_models, "
                    "or nano, which ships with the pack.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(WEIGHT_DTYPES),
                    default="default",
                    advanced=True,
                    tooltip="How the transformer's weights are kept in memory. fp8 halves the memory of bf16 and costs some quality; "
                    "'fast' multiplies in fp8 too, on cards that can. Quantised files (scaled fp8, GGUF) stay as they are.",
                ),
                _part("text_encoder", TEXT_ENCODER, "For full-size models: UMT5-XXL, in models/text_encoders."),
                _part("vae", VIDEO_CODEC, "For full-size models: the VAE of Wan2.2 5B, in models/vae."),
                _part("audio_codec", AUDIO_CODEC, "For full-size models: MMAudio's codec, for NAVA LTX-2.3's, in models/audio_codecs."),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL"),
                io.Clip.Output(display_name="CLIP"),
                io.Vae.Output(display_name="VAE"),
                io.Vae.Output(display_name="audio VAE"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(
        cls, checkpoint: str, weight_dtype: str, text_encoder: str = BUNDLED, vae: str = BUNDLED, audio_codec: str = BUNDLED
    ) -> tuple:
        """A file that was replaced is loaded again."""
        chosen = {CHECKPOINTS: checkpoint, **_chosen(text_encoder, vae, audio_codec)}
        paths = {part: folder_paths.get_full_path(FOLDERS.get(part, part), name) for part, name in chosen.items() if name != BUNDLED}
        return (weight_dtype, *((part, path, checkpoints.stamp(path) if path else None) for part, path in paths.items()))

    @classmethod
    def execute(
        cls, checkpoint: str, weight_dtype: str, text_encoder: str = BUNDLED, vae: str = BUNDLED, audio_codec: str = BUNDLED
    ) -> io.NodeOutput:
        loaded = with_bundled_parts(read(checkpoint_path(checkpoint)))
        require_right_choices(loaded, _chosen(text_encoder, vae, audio_codec), checkpoint)
        model = patcher_of(loaded, WEIGHT_DTYPES[weight_dtype])
        clip = load_text_encoder(loaded, text_encoder)
        parts = load_video_vae(loaded, vae), load_audio_vae(loaded, audio_codec)
        return io.NodeOutput(model, clip, *parts, ui=say(cls, _settings(loaded.config)))


def _settings(config: ModelConfig) -> str:
    """What the model was trained for, as Joint Flow Sampler's inputs."""
    told = ", ".join(f"{name} {value:g}" for name, value in own_settings(config).items())
    return f"{config.name}: {config.sampling.seconds:.1f} s, {config.video.width}x{config.video.height}, {told}"


def _chosen(text_encoder: str, vae: str, audio_codec: str) -> dict[str, Any]:
    return {TEXT_ENCODER: text_encoder, VIDEO_CODEC: vae, AUDIO_CODEC: audio_codec}
