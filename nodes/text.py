"""The bundled text encoder as a CLIP object of the host, so that core's CLIPTextEncode works with it."""

from __future__ import annotations

from typing import Any

import comfy.hooks
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import torch
from torch import Tensor, nn

from ..unitalking_core import checkpoint as checkpoints
from ..unitalking_core.checkpoint import Checkpoint
from ..unitalking_core.conditions.text import NanoTextEncoder, build_text_encoder


class Tokenizer:
    """The host's tokenizer protocol over the core's `tokenize`; prompt weights such as (word:1.2) have no meaning here."""

    def __init__(self, encoder: NanoTextEncoder) -> None:
        self._encoder = encoder

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **_: Any) -> dict[str, list[list[tuple[int, float]]]]:
        return {"nano": [[(token, 1.0) for token in self._encoder.tokenize(text)]]}

    def state_dict(self) -> dict[str, Tensor]:
        return {}


class TextModel(nn.Module):
    """The host's protocol of a text model: options it may set, and `encode_token_weights`."""

    def __init__(self, encoder: NanoTextEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.dtypes = {torch.float32}
        self._device: Any = None

    def reset_clip_options(self) -> None:
        self._device = None

    def set_clip_options(self, options: dict[str, Any]) -> None:
        self._device = options.get("execution_device", self._device)

    def encode_token_weights(self, tokens: dict[str, list[list[tuple[int, float]]]]) -> tuple[Tensor, None]:
        ids = [[token for token, _ in row] for row in tokens["nano"]]
        device = self._device or next(self.encoder.parameters()).device
        encoded = self.encoder(*(x.to(device) for x in self.encoder.batch(ids)))
        return encoded.to(comfy.model_management.intermediate_device()), None


def bundled_text_encoder(checkpoint: Checkpoint) -> comfy.sd.CLIP:
    """The text encoder bundled in a checkpoint. Raises CheckpointError."""
    encoder = build_text_encoder(checkpoint.config.text, checkpoint.config.transformer.text_dim)
    part = checkpoint.part(checkpoints.TEXT_ENCODER)
    checkpoints.load_into(encoder, part, f"text encoder of {checkpoint.path.name}", torch.float32)
    management = comfy.model_management
    model = TextModel(encoder.eval().requires_grad_(False))
    management.archive_model_dtypes(model)
    clip = comfy.sd.CLIP(no_init=True)
    clip.cond_stage_model = model
    clip.tokenizer = Tokenizer(encoder)
    clip.tokenizer_options = {}
    clip.layer_idx = clip.apply_hooks_to_conds = None
    clip.use_clip_schedule = False
    # Plain torch modules, a few megabytes: loaded whole.
    clip.patcher = comfy.model_patcher.ModelPatcher(
        model, load_device=management.text_encoder_device(), offload_device=management.text_encoder_offload_device()
    )
    clip.patcher.set_model_compute_dtype(torch.float32)
    clip.patcher.hook_mode = comfy.hooks.EnumHookMode.MinVram
    clip.patcher.is_clip = True
    return clip
