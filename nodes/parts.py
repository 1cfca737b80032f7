"""The text encoder and codecs of a model: bundled in its checkpoint, or public models in files of their own, through the host's loaders."""

from __future__ import annotations

from typing import Any

import comfy.sd

from nodes import CLIPLoader, VAELoader

from ..unitalking_core import checkpoint as checkpoints
from ..unitalking_core.checkpoint import AUDIO_CODEC, TEXT_ENCODER, VIDEO_CODEC, Checkpoint, CheckpointError
from .audio_codec import load_audio_codec
from .codecs import AudioVAE, bundled_audio_vae, bundled_video_vae
from .files import BUNDLED, PUBLISHED, UMT5, WAN22_VAE, part_path
from .loading import described
from .text import bundled_text_encoder

UMT5_TITLE, WAN22_VAE_TITLE = "a UMT5 text encoder", "Wan2.2's video VAE"
"""What the host's loaders can read, as detection calls it; the same models in other layouts have other titles."""


def load_text_encoder(checkpoint: Checkpoint, choice: str) -> comfy.sd.CLIP:
    """As core's CLIPLoader of the type wan loads UMT5, or the checkpoint's own. Raises CheckpointError."""
    encoder = checkpoint.config.text.encoder
    if encoder not in PUBLISHED:
        return bundled_text_encoder(checkpoint)
    if choice == BUNDLED:
        state = checkpoint.part(TEXT_ENCODER) | described(checkpoint, TEXT_ENCODER)
        return comfy.sd.load_text_encoder_state_dicts([state], clip_type=comfy.sd.CLIPType.WAN)
    found = checkpoints.detect(part_path(TEXT_ENCODER, choice))
    if found.title != UMT5_TITLE:
        raise CheckpointError(f"{choice}: this is {found.title}; {encoder} is expected: {UMT5.advice}")
    [clip] = CLIPLoader().load_clip(choice, type="wan")
    return clip


def load_video_vae(checkpoint: Checkpoint, choice: str) -> Any:
    """As core's VAELoader loads Wan2.2's VAE, or the checkpoint's own. Raises CheckpointError."""
    video = checkpoint.config.video
    if video.codec not in PUBLISHED:
        return bundled_video_vae(checkpoint)
    if choice == BUNDLED:
        return comfy.sd.VAE(sd=dict(checkpoint.part(VIDEO_CODEC)))
    found = checkpoints.detect(part_path(VIDEO_CODEC, choice))
    if found.title != WAN22_VAE_TITLE:
        raise CheckpointError(f"{choice}: this is {found.title}; {video.codec} is expected: {WAN22_VAE.advice}")
    [vae] = VAELoader().load_vae(choice)
    return vae


def load_audio_vae(checkpoint: Checkpoint, choice: str) -> AudioVAE:
    """A file that `unitalking convert-audio-codec` wrote, or the checkpoint's own. Raises CheckpointError."""
    if choice == BUNDLED:
        return bundled_audio_vae(checkpoint)
    path = part_path(AUDIO_CODEC, choice)
    checkpoints.require_codec(path, checkpoint.config.audio.codec)
    return load_audio_codec(path, checkpoint.config)
