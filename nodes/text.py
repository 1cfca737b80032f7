"""The bundled text encoder as a CLIP object of the host, so that core's CLIPTextEncode works with it; and UMT5 with places for voices."""

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
from ..unitalking_core.conditions.speakers import marked, marker_id
from ..unitalking_core.conditions.text import START_ID, NanoTextEncoder, build_text_encoder

PLACES = "unitalking_places"
"""Key of the conditioning entry that lists the rows of the text where a span `<S>...<E>` begins: there a speaker's voice is put."""
UMT5 = "umt5xxl"
"""The host's name of the tokenizer and the tokens."""


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

    def encode_token_weights(self, tokens: dict[str, list[list[tuple[int, float]]]]) -> tuple[Tensor, None, dict[str, Any]]:
        ids = [[token for token, _ in row] for row in tokens["nano"]]
        device = self._device or next(self.encoder.parameters()).device
        encoded = self.encoder(*(x.to(device) for x in self.encoder.batch(ids)))
        places = [i for i, token in enumerate(ids[0]) if token == START_ID]
        return encoded.to(comfy.model_management.intermediate_device()), None, {PLACES: places}


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


class MarkedPieces:
    """The host's SentencePiece tokenizer with a marker behind each `<S>`."""

    def __init__(self, pieces: Any) -> None:
        self._pieces = pieces
        self.marker = marker_id(self._plain)

    def __call__(self, text: str) -> dict[str, list[int]]:
        ended = self._pieces("")["input_ids"]
        return {"input_ids": [*marked(text, self._plain), *ended]}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pieces, name)

    def _plain(self, text: str) -> list[int]:
        ended = len(self._pieces("")["input_ids"])
        ids = self._pieces(text)["input_ids"]
        return ids[: len(ids) - ended]


def with_places(clip: comfy.sd.CLIP) -> comfy.sd.CLIP:
    """The host's UMT5 with a marker behind each `<S>`, whose rows the conditioning names (PLACES).

    Tokenizer and model are changed where a copy of the CLIP finds them too: nodes such as LoRA loaders make copies.
    """
    tokenizer, model = getattr(clip.tokenizer, UMT5), clip.cond_stage_model
    tokenizer.tokenizer = pieces = MarkedPieces(tokenizer.tokenizer)
    encode = model.encode_token_weights

    def encode_with_places(tokens: dict[str, list[list[tuple[int, float]]]]) -> tuple[Any, ...]:
        cond, pooled, *extra = encode(tokens)
        places = [i for i, (token, *_) in enumerate(tokens[UMT5][0]) if token == pieces.marker]
        return cond, pooled, {**(extra[0] if extra else {}), PLACES: places}

    model.encode_token_weights = encode_with_places
    return clip
