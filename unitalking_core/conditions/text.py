"""The nano text encoder: characters in, one row of features for each, zero-padded to a fixed length as Wan's text is.

A prompt is `<S>the words<E> a description`; what stands between the marks is spoken. Each character knows its place in the prompt and
how far through the spoken words it is, because the transformer's cross-attention has no positions of its own.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ConfigError, TextConfig
from .umt5 import UMT5TextEncoder

START, END = "<S>", "<E>"
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789 .,;:!?'\"-()/&%+"
PAD, START_ID, END_ID, UNKNOWN = range(4)
VOCABULARY = {c: i for i, c in enumerate(CHARACTERS, start=4)}
TYPOGRAPHY = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": ".", "\n": " ", "\t": " "})
FEATURES = 32


class TextTooLongError(ValueError):
    """A prompt with more characters than the model reads."""


class NanoTextEncoder(nn.Module):
    """Options: `tokens` (fixed length), `text_dim` (width of the rows), `hidden`, `blocks` of convolution and `layers` of attention."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.tokens, text_dim, hidden = int(options["tokens"]), int(options["text_dim"]), int(options.get("hidden", 128))
        self.embed = nn.Embedding(4 + len(CHARACTERS), hidden)
        self.place = nn.Linear(2 * FEATURES + 3, hidden)
        self.blocks = nn.ModuleList(_ConvBlock(hidden) for _ in range(int(options.get("blocks", 3))))
        self.layers = nn.ModuleList(_AttentionLayer(hidden) for _ in range(int(options.get("layers", 2))))
        self.norm = nn.LayerNorm(hidden)
        self.out = nn.Linear(hidden + FEATURES, text_dim)

    def tokenize(self, text: str) -> list[int]:
        """Character ids of a prompt. A text without marks is all speech; an empty one has no ids. Raises TextTooLongError."""
        text = unicodedata.normalize("NFKC", text).translate(TYPOGRAPHY).strip()
        if text and START not in text and END not in text:
            text = f"{START}{text}{END}"
        ids = []
        while text:
            mark = next((m for m in (START, END) if text.startswith(m)), None)
            ids.append({START: START_ID, END: END_ID}[mark] if mark else VOCABULARY.get(_plain(text[0]), UNKNOWN))
            text = text[len(mark) if mark else 1 :]
        if len(ids) > self.tokens:
            raise TextTooLongError(f"the text has {len(ids)} characters (marks count as one); this model reads at most {self.tokens}")
        return ids

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids (B, tokens), PAD past each row's length; lengths (B,) -> (B, tokens, text_dim), exact zeros past the length."""
        inside = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        index, through, segment = _places(ids, inside)
        sines = torch.cat([_sines(index, 10000.0), _sines(through * 100, 1000.0)], dim=-1)
        weight = self.place.weight
        x = self.embed(ids) + self.place(torch.cat([sines, F.one_hot(segment, 3).float()], dim=-1).to(weight.dtype))
        keep = inside[..., None].to(weight.dtype)
        for block in self.blocks:
            x = block(x * keep)
        seen = inside[:, None, None, :] | ~inside.any(1)[:, None, None, None]
        for layer in self.layers:
            x = layer(x, seen)
        # The spoken place is repeated in the rows themselves: the speech finds its next character by it.
        return self.out(torch.cat([self.norm(x), sines[..., FEATURES:].to(x.dtype)], dim=-1)) * keep

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Prompts -> (len(texts), tokens, text_dim). The empty prompt is all zeros: the model's "no text". Raises TextTooLongError."""
        return self(*(x.to(self.out.weight.device) for x in self.batch([self.tokenize(text) for text in texts])))

    def batch(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Lists of ids -> padded ids (B, tokens) and lengths (B,)."""
        padded = torch.full((len(ids), self.tokens), PAD)
        for row, values in zip(padded, ids, strict=True):
            row[: len(values)] = torch.tensor(values, dtype=torch.long)
        return padded, torch.tensor([len(values) for values in ids])


TEXT_ENCODERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {"nano-text": NanoTextEncoder, "umt5-xxl": UMT5TextEncoder}
LEARNED = ("nano-text",)
"""Those that are trained with their model; the others are public models, which stay as they are."""


def build_text_encoder(config: TextConfig, text_dim: int) -> Any:
    """The text encoder that the configuration names, a module with `encode(texts)`. Raises ConfigError for an unknown name."""
    if config.encoder not in TEXT_ENCODERS:
        raise ConfigError(f"unknown text encoder '{config.encoder}'; this version can build {', '.join(TEXT_ENCODERS)}")
    return TEXT_ENCODERS[config.encoder]({**config.options, "tokens": config.tokens, "text_dim": text_dim})


class _ConvBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.near = nn.Conv1d(dim, dim, 5, padding=2)
        self.mix = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(F.silu(self.near(self.norm(x).transpose(1, 2)).transpose(1, 2)))


class _AttentionLayer(nn.Module):
    def __init__(self, dim: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.o = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.ffn = nn.Sequential(nn.Linear(dim, 2 * dim), nn.SiLU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.o(F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(2))
        return x + self.ffn(self.norm2(x))


def _plain(character: str) -> str:
    """Lower case, accents taken off."""
    return unicodedata.normalize("NFD", character.lower())[0]


def _places(ids: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Per character: its index, how far through the spoken words it is (0..1, 0 outside them), and 0 padding, 1 speech, 2 description."""
    index = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    opened, closed = (ids == START_ID).cumsum(1) > 0, (ids == END_ID).cumsum(1) > 0
    speech = opened & ~closed & inside
    count = speech.cumsum(1)
    through = torch.where(speech, count / count[:, -1:].clamp(min=1), 0.0)
    return index, through, torch.where(speech, 1, 2) * inside


def _sines(place: Tensor, base: float) -> Tensor:
    frequencies = torch.exp(-math.log(base) * torch.arange(FEATURES // 2, device=place.device) / (FEATURES // 2))
    angles = place[..., None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
