"""Text encoder and codecs of a model, bundled in its checkpoint or in files of their own, and whether what was chosen fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.sd

from nodes import CLIPLoader, VAELoader

from ..unitalking_core import checkpoint as checkpoints
from ..unitalking_core.checkpoint import AUDIO_CODEC, TEXT_ENCODER, VIDEO_CODEC, Checkpoint, CheckpointError
from ..unitalking_core.checkpoint.detection import LTX_AUDIO
from .audio_codec import bundled_audio_codec, load_audio_codec
from .codecs import AudioVAE, bundled_audio_vae, bundled_video_vae
from .files import BUNDLED, CHECKPOINTS, PUBLISHED, folder_of, named_parts, part_path
from .loading import described
from .ltx_audio import load_ltx_audio
from .text import bundled_text_encoder, with_places


def require_right_choices(checkpoint: Checkpoint, chosen: Mapping[str, str], name: str) -> None:
    """Raises CheckpointError that tells of every part that is missing, is another model, or is chosen where the checkpoint has its own.

    Reads headers only, before anything is loaded.
    """
    models = named_parts(checkpoint.config)
    if problems := [p for part, model in models.items() if (p := _problem(checkpoint, part, model, chosen[part]))]:
        raise CheckpointError(f"{name}: {'; '.join(problems)}")


def _problem(checkpoint: Checkpoint, part: str, model: str, choice: str) -> str | None:
    place, title = PUBLISHED.get(model), part.replace("_", " ")
    if choice == BUNDLED:
        if part in checkpoint.parts:
            return None
        if place is None:
            return f"it holds no {title}; put the checkpoint that it was made from into {folder_of(CHECKPOINTS)}"
        return f"it needs {model} as {title}: {place.advice}"
    if place is None:
        return f"its {title} is its own ({model}): set that input to '{BUNDLED}'"
    try:
        found = checkpoints.detect(part_path(part, choice))
    except CheckpointError as error:
        return str(error)
    return None if found.title == place.title else f"{choice}: this is {found.title}; {model} is expected: {place.advice}"


def load_text_encoder(checkpoint: Checkpoint, choice: str) -> comfy.sd.CLIP:
    """As core's CLIPLoader of the type wan loads UMT5, or the checkpoint's own. Raises CheckpointError."""
    if checkpoint.config.text.encoder not in PUBLISHED:
        return bundled_text_encoder(checkpoint)
    if choice == BUNDLED:
        state = checkpoint.part(TEXT_ENCODER) | described(checkpoint, TEXT_ENCODER)
        clip = comfy.sd.load_text_encoder_state_dicts([state], clip_type=comfy.sd.CLIPType.WAN)
    else:
        [clip] = CLIPLoader().load_clip(choice, type="wan")
    return with_places(clip) if checkpoint.config.transformer.speakers else clip


def load_video_vae(checkpoint: Checkpoint, choice: str) -> Any:
    """As core's VAELoader loads Wan2.2's VAE, or the checkpoint's own. Raises CheckpointError."""
    if checkpoint.config.video.codec not in PUBLISHED:
        return bundled_video_vae(checkpoint)
    if choice == BUNDLED:
        vae = comfy.sd.VAE(sd=dict(checkpoint.part(VIDEO_CODEC)))
        vae.throw_exception_if_invalid()
        return vae
    [vae] = VAELoader().load_vae(choice)
    return vae


def load_audio_vae(checkpoint: Checkpoint, choice: str) -> AudioVAE:
    """A file that `unitalking convert-audio-codec` wrote, LTX-2.3's audio VAE, or the checkpoint's own. Raises CheckpointError."""
    if choice == BUNDLED:
        public = checkpoint.config.audio.codec in PUBLISHED
        return bundled_audio_codec(checkpoint) if public else bundled_audio_vae(checkpoint)
    load = load_ltx_audio if checkpoint.config.audio.codec == LTX_AUDIO else load_audio_codec
    return load(part_path(AUDIO_CODEC, choice), checkpoint.config)
