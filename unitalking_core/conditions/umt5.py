"""UMT5-XXL, the text encoder of Wan2.2, without ComfyUI: transformers' class behind the text encoders' interface. Needs the extra `full`.

A prompt is cleaned as Wan does it (ftfy, HTML entities, white space), its features are zero-padded to the fixed length, and the model sees
the padding (Wan2.2, wan/modules/t5.py and textimage2video.py). Prompts that are too long are cut, as there.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..config import ConfigError

TOKENIZER = "spiece_model"
"""The tensor of bytes in which ComfyUI's files hold the SentencePiece model."""
EOS = 1
SIZES = {"vocab_size": 256384, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
NAMES = (
    (r"^(shared|token_embedding|encoder\.embed_tokens)\.", "embed_tokens."),
    (r"^encoder\.", ""),
    (r"^norm\.", "final_layer_norm."),
    (r"^blocks\.(\d+)\.norm1\.", r"block.\1.layer.0.layer_norm."),
    (r"^blocks\.(\d+)\.attn\.", r"block.\1.layer.0.SelfAttention."),
    (r"^blocks\.(\d+)\.pos_embedding\.embedding\.", r"block.\1.layer.0.SelfAttention.relative_attention_bias."),
    (r"^blocks\.(\d+)\.norm2\.", r"block.\1.layer.1.layer_norm."),
    (r"^blocks\.(\d+)\.ffn\.gate\.0\.", r"block.\1.layer.1.DenseReluDense.wi_0."),
    (r"^blocks\.(\d+)\.ffn\.fc1\.", r"block.\1.layer.1.DenseReluDense.wi_1."),
    (r"^blocks\.(\d+)\.ffn\.fc2\.", r"block.\1.layer.1.DenseReluDense.wo."),
)
"""transformers' names, which ComfyUI's files have too, and Wan's own -> those of the encoder alone."""


class UMT5TextEncoder(nn.Module):
    """Options: `tokens` (fixed length), `text_dim` (width of the rows), and SIZES where they are not the published ones.

    Raises ConfigError without transformers, sentencepiece and ftfy.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        try:
            import ftfy
            import sentencepiece
            from transformers import UMT5Config, UMT5EncoderModel
        except ImportError as error:
            raise ConfigError(f"the text encoder 'umt5-xxl' needs {error.name}: pip install -e '.[full]' in this pack's folder") from error
        sizes: dict[str, Any] = {name: int(options.get(name, size)) for name, size in SIZES.items()}
        if sizes["d_model"] != int(options["text_dim"]):
            raise ConfigError(f"UMT5 makes rows of {sizes['d_model']}, the model reads rows of {options['text_dim']}")
        self.tokens = int(options["tokens"])
        self._fix_text = ftfy.fix_text
        self._pieces = sentencepiece.SentencePieceProcessor()
        self._ready = False
        self.encoder = UMT5EncoderModel(UMT5Config(**sizes, feed_forward_proj="gated-gelu", dropout_rate=0.0)).encoder

    def set_tokenizer(self, model: bytes) -> None:
        """The SentencePiece model, as bytes of `spiece.model`. Raises ConfigError for other bytes."""
        try:
            self._pieces.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise ConfigError("the tokenizer of the text encoder is no SentencePiece model; use spiece.model of google/umt5-xxl") from error
        self._ready = True

    def tokenize(self, text: str) -> list[int]:
        """Ids of a prompt, at most `tokens`, the last one always the end mark. Raises ConfigError without a tokenizer."""
        if not self._ready:
            raise ConfigError("the text encoder has no tokenizer: put spiece.model of google/umt5-xxl beside its file")
        cleaned = re.sub(r"\s+", " ", html.unescape(html.unescape(self._fix_text(text)))).strip()
        return [*self._pieces.EncodeAsIds(cleaned)[: self.tokens - 1], EOS]

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Prompts -> (len(texts), tokens, text_dim), exact zeros past each prompt's end mark. The empty prompt has that mark alone."""
        ids = [self.tokenize(text) for text in texts]
        device = self.encoder.embed_tokens.weight.device
        longest = max(map(len, ids))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in ids], device=device)
        inside = torch.arange(longest, device=device) < torch.tensor([len(row) for row in ids], device=device)[:, None]
        rows = self.encoder(input_ids=padded, attention_mask=inside.long()).last_hidden_state * inside[..., None]
        return nn.functional.pad(rows, (0, 0, 0, self.tokens - longest))


def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state, in transformers' names, ComfyUI's or Wan's -> `UMT5TextEncoder`'s; the tokenizer is left out.

    transformers' files may have the embedding twice, under two names; it is one and the same.
    """
    return {f"encoder.{_name(key)}": value for key, value in state.items() if key != TOKENIZER}


def _name(name: str) -> str:
    for theirs, ours in NAMES:
        name = re.sub(theirs, ours, name)
    return name
