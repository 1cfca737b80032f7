"""One stream of the twin transformer: embeddings, blocks and head. The class is used twice, for video and for audio.

Parameter names are Wan2.2's own, except that `modulation` is a leaf module (`modulation.weight`). Time embeddings come per token group:
(B, G, ...) with G = 1 for the whole stream, T for video latents, or L for every token; each group covers L / G consecutive tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import TransformerConfig
from .attention import ConditionKV, DualCrossAttention, SelfAttention


def timestep_features(t: Tensor, dim: int) -> Tensor:
    """t (any shape) -> sinusoidal features (..., dim), cosines first, computed in float64 where the device has it."""
    precision = torch.float32 if t.device.type == "mps" else torch.float64
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(dim // 2, device=t.device, dtype=precision) / (dim // 2))
    angles = t.to(precision)[..., None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1).float()


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (B, L, D) * (1 + scale) + shift with shift, scale (B, G, D), G groups of L / G tokens."""
    grouped = x.unflatten(1, (shift.shape[1], -1))
    return torch.addcmul(shift[:, :, None], grouped, 1 + scale[:, :, None]).flatten(1, 2)


def gated(x: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """x + update * gate, gate (B, G, D)."""
    return torch.addcmul(x, update, gate.repeat_interleave(x.shape[1] // gate.shape[1], dim=1) if gate.shape[1] > 1 else gate)


class Block(nn.Module):
    """The layers of one stream in one block; `transformer.model` runs two of them side by side."""

    def __init__(self, config: TransformerConfig, operations: Any, **factory: Any) -> None:
        super().__init__()
        dim, heads, eps = config.dim, config.heads, config.eps
        self.norm1 = operations.LayerNorm(dim, eps, elementwise_affine=False, **factory)
        self.self_attn = SelfAttention(dim, heads, eps, operations, **factory)
        self.norm3 = operations.LayerNorm(dim, eps, elementwise_affine=True, **factory)
        self.cross_attn = DualCrossAttention(dim, heads, eps, operations, voice=not config.speakers, **factory)
        self.norm2 = operations.LayerNorm(dim, eps, elementwise_affine=False, **factory)
        self.ffn = nn.Sequential(
            operations.Linear(dim, config.ffn_dim, **factory),
            nn.GELU(approximate="tanh"),
            operations.Linear(config.ffn_dim, dim, **factory),
        )
        self.modulation = operations.Modulation(6, dim, **factory)

    def forward(self, run: Callable[..., Any], *tokens: Any) -> Any:
        """`run(*tokens)`, a computation that reads this block's weights, as a call of the block: hooks on modules' calls (sharding) see it.

        A block's layers cannot be a forward of their own, because they meet the twin's in the joint attention.
        """
        return run(*tokens)


class Head(nn.Module):
    """Modulated norm and projection back to the latent."""

    def __init__(self, dim: int, out: int, eps: float, operations: Any, **factory: Any) -> None:
        super().__init__()
        self.norm = operations.LayerNorm(dim, eps, elementwise_affine=False, **factory)
        self.head = operations.Linear(dim, out, **factory)
        self.modulation = operations.Modulation(2, dim, **factory)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """x (B, L, D), e (B, G, D) -> (B, L, out)."""
        shift, scale = self.modulation(e[:, :, None]).unbind(2)
        return self.head(modulate(self.norm(x), shift.to(x.dtype), scale.to(x.dtype)))


class GatedConv(nn.Module):
    """w2(silu(w1 x) * w3 x), in convolutions over time: x (B, D, La) -> (B, D, La)."""

    def __init__(self, conv: Callable[..., nn.Module], dim: int, hidden: int) -> None:
        super().__init__()
        self.w1, self.w2, self.w3 = conv(dim, hidden, bias=False), conv(hidden, dim, bias=False), conv(dim, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class SpeakerEmbedding(nn.Module):
    """Speaker vectors (B, N, speaker_dim) -> rows of text (B, N, D), as in NAVA. Zeros are a speaker of whom nothing is known."""

    def __init__(self, inputs: int, dim: int, operations: Any, **factory: Any) -> None:
        super().__init__()
        norm = partial(operations.LayerNorm, eps=1e-5, **factory)
        self.net = nn.Sequential(norm(inputs), operations.Linear(inputs, dim, **factory), nn.SiLU(), operations.Linear(dim, dim, **factory))
        self.out_norm = norm(dim)
        self.null_token = operations.Embedding(1, dim, **factory)

    def forward(self, x: Tensor) -> Tensor:
        known = self.out_norm(self.net(x))
        nobody = self.null_token(torch.zeros(1, dtype=torch.long, device=x.device)).to(known.dtype)
        return torch.where(x.any(-1, keepdim=True), known, nobody)


class Stream(nn.Module):
    """Embeddings, blocks and head of one stream.

    `channels` of its latent, `patch` (t, h, w) for video or None for audio, whose tokens are its latent frames.
    """

    blocks: Sequence[Block]

    def __init__(
        self,
        config: TransformerConfig,
        channels: int,
        voice_channels: int,
        patch: tuple[int, int, int] | None,
        operations: Any,
        **factory: Any,
    ) -> None:
        super().__init__()
        dim = config.dim
        self.config, self.patch = config, patch
        if patch is None:
            conv = partial(operations.Conv1d, kernel_size=config.audio_kernel, padding=config.audio_kernel // 2, **factory)
            gated = [nn.SiLU(), GatedConv(conv, dim, config.audio_hidden)] if config.audio_hidden else []
            self.patch_embedding = nn.Sequential(conv(channels, dim), *gated) if gated else conv(channels, dim)
        else:
            self.patch_embedding = operations.Conv3d(channels, dim, kernel_size=patch, stride=patch, **factory)
        self.text_embedding = _mlp(config.text_dim, dim, nn.GELU(approximate="tanh"), operations, **factory)
        if config.speakers:
            self.voice_embedding: nn.Module = SpeakerEmbedding(config.speaker_dim, dim, operations, **factory)
        else:
            self.voice_embedding = _mlp(voice_channels, dim, nn.GELU(approximate="tanh"), operations, **factory)
        self.time_embedding = _mlp(config.freq_dim, dim, nn.SiLU(), operations, **factory)
        self.time_projection = nn.Sequential(nn.SiLU(), operations.Linear(dim, 6 * dim, **factory))
        layers = (Block(config, operations, **factory) for _ in range(config.layers))
        self.blocks = nn.ModuleList(layers)  # type: ignore[assignment]  # torch's stubs know a list of Modules only
        self.head = Head(dim, channels * math.prod(patch or (1,)), config.eps, operations, **factory)

    def grid(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The token grid of a latent of this shape (B, C, T, h, w) or (B, C, La)."""
        return tuple(n // cells for n, cells in zip(shape[2:], self.patch or (1,), strict=True))

    def embed(self, latent: Tensor) -> Tensor:
        """Latent (B, C, T, h, w) or (B, C, La) -> tokens (B, L, D)."""
        return self.patch_embedding(latent).flatten(2).transpose(1, 2)

    def embed_conditions(
        self, text: Tensor, voice: Tensor | None, gate: Tensor | None, made: Mapping[DualCrossAttention, ConditionKV]
    ) -> list[ConditionKV]:
        """Text and voice, as `UniTalkingTransformer.prepare` has them -> keys and values for every block; some are `made` already."""
        embedded = self.text_embedding(text)
        heard = None if voice is None else self.voice_embedding(voice.transpose(1, 2))
        if self.config.speakers and heard is not None and gate is not None:
            embedded, heard = torch.where(gate[..., None] > 0, heard, embedded), None
        layers = [block.cross_attn for block in self.blocks]
        return [made[layer] if layer in made else layer.prepare(embedded, heard) for layer in layers]

    def embed_time(self, t: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """t (B,) or (B, G) -> e (B, G, D) for the head and its projection (B, G, 6, D) for the blocks."""
        features = timestep_features(t.reshape(t.shape[0], -1), self.config.freq_dim)
        e = self.time_embedding(features.to(dtype))
        return e, self.time_projection(e).unflatten(-1, (6, -1))

    def unembed(self, tokens: Tensor, e: Tensor, grid: tuple[int, ...]) -> Tensor:
        """Tokens (B, L, D) -> latent-shaped velocity."""
        out = self.head(tokens, e)
        if self.patch is None:
            return out.transpose(1, 2)
        (t, h, w), (pt, ph, pw) = grid, self.patch
        out = out.unflatten(1, (t, h, w)).unflatten(-1, (pt, ph, pw, -1))
        return out.permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(out.shape[0], -1, t * pt, h * ph, w * pw)


def share(video: Stream, audio: Stream, config: TransformerConfig) -> None:
    """Give the twin what the configuration says it shares: the video stream's own modules.

    The twin holds them without registering them, so that parameters, state dicts, optimisers and hosts meet each of them once, under its
    name in the video stream.
    """
    for first, last, modules in config.sharing:
        for theirs, own in zip(video.blocks[first : last + 1], audio.blocks[first : last + 1], strict=True):
            for name in modules:
                _borrow(own, theirs, name)
    for name in config.shared_embeddings:
        _borrow(audio, video, name)


def _borrow(borrower: nn.Module, owner: nn.Module, name: str) -> None:
    delattr(borrower, name)
    object.__setattr__(borrower, name, getattr(owner, name))  # nn.Module's own way of setting would register it


def _mlp(inputs: int, dim: int, activation: nn.Module, operations: Any, **factory: Any) -> nn.Sequential:
    return nn.Sequential(operations.Linear(inputs, dim, **factory), activation, operations.Linear(dim, dim, **factory))
