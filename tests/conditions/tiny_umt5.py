"""A UMT5 of a few thousand weights with a tokenizer learned from a few sentences."""

from __future__ import annotations

import io

import torch
from torch import Tensor

from unitalking_core.conditions.umt5 import UMT5TextEncoder

SIZES = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
OPTIONS = {**SIZES, "tokens": 24, "text_dim": 32}


def tokenizer() -> bytes:
    """A SentencePiece model with UMT5's marks: padding 0, end 1, unknown 2."""
    import sentencepiece

    text = "the quick brown fox jumps over a lazy dog while seven bright birds sing & dance happily in my old green garden"
    words = text.split(" ")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(" ".join(words[i:] + words[:i]) for i in range(len(words))),
        model_writer=model, vocab_size=50, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


def make() -> UMT5TextEncoder:
    """With weights large enough that an ignored input shows."""
    torch.manual_seed(0)
    encoder = UMT5TextEncoder(OPTIONS)
    for name, parameter in encoder.named_parameters():
        parameter.data.normal_(std=0.3 if parameter.ndim > 1 else 0.1).add_(1.0 if "norm" in name else 0.0)
    encoder.set_tokenizer(tokenizer())
    return encoder.eval().requires_grad_(False)


def in_wans_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """transformers' names of an encoder alone -> Wan's, as in models_t5_umt5-xxl-enc."""
    inside = {
        "layer.0.layer_norm": "norm1", "layer.1.layer_norm": "norm2", "layer.0.SelfAttention.relative_attention_bias":
        "pos_embedding.embedding", "layer.0.SelfAttention": "attn", "layer.1.DenseReluDense.wi_0": "ffn.gate.0",
        "layer.1.DenseReluDense.wi_1": "ffn.fc1", "layer.1.DenseReluDense.wo": "ffn.fc2",
    }  # fmt: skip
    outside = {"embed_tokens": "token_embedding", "final_layer_norm": "norm", "block.": "blocks."}
    renamed = {}
    for key, value in state.items():
        for ours, theirs in {**outside, **inside}.items():
            key = key.replace(ours, theirs)
        renamed[key] = value
    return renamed
