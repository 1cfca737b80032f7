"""MMAudio's 1-D variational auto-encoder: log-mel (B, mels, K) <-> latents (B, C, La), K = 2 La.

Geometry and names as in MMAudio, ext/autoencoder (974010a); layers that keep magnitudes after EDM2 (Karras et al., arXiv 2312.02696,
section 2 and appendix B). EDM2 normalises every weight row when a layer runs; here that is done once, when a published file is read
(`published.fold_rows`), so that all layers are plain convolutions that a host may own.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..transformer import Operations

WIDTHS = (1, 2, 4)
"""Channels of the levels, in units of `hidden`."""
LIMIT = 256.0
EPS = 1e-4
MIX = 0.3
QUERIES = 1024
"""Attention rows computed at once, so that its memory grows with the length and not with its square."""


class MMAudioVAE(nn.Module):
    """`mels` in, `channels` per latent, `hidden` width. Latents are not rescaled; mels are normalised with the statistics it holds."""

    data_mean: Tensor
    data_std: Tensor

    def __init__(self, mels: int, channels: int, hidden: int, operations: Any = Operations) -> None:
        super().__init__()
        self.register_buffer("data_mean", torch.zeros(1, mels, 1))
        self.register_buffer("data_std", torch.ones(1, mels, 1))
        self.encoder = Encoder(mels, 2 * channels, hidden, operations)
        self.decoder = Decoder(channels, mels, hidden, operations)

    def encode(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel (B, mels, K) -> mean and log variance (B, C, floor(K / 2)) of the posterior."""
        mean, log_variance = self.encoder((mel - self.data_mean.to(mel)) / self.data_std.to(mel)).chunk(2, dim=1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, latent: Tensor) -> Tensor:
        """Latents (B, C, La) -> log-mel (B, mels, 2 La)."""
        return self.decoder(latent) * self.data_std.to(latent) + self.data_mean.to(latent)


class Encoder(nn.Module):
    """Three levels; the length halves after the first one."""

    def __init__(self, inputs: int, outputs: int, hidden: int, operations: Any) -> None:
        super().__init__()
        widths = [hidden * w for w in WIDTHS]
        self.conv_in = _conv(inputs, hidden, 3, operations)
        self.down = nn.ModuleList(
            Level(before, width, 2, operations, downsample=width == hidden)
            for before, width in zip((hidden, *widths), widths, strict=False)
        )
        self.mid = Middle(widths[-1], operations)
        self.conv_out = _conv(widths[-1], outputs, 3, operations)
        self.learnable_gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(_silu(self.mid(x))) * (1 + self.learnable_gain.to(x))


class Decoder(nn.Module):
    """The levels from the last to the first; the length doubles after the middle one."""

    def __init__(self, inputs: int, outputs: int, hidden: int, operations: Any) -> None:
        super().__init__()
        widths = [hidden * w for w in WIDTHS]
        self.conv_in = _conv(inputs, widths[-1], 3, operations)
        self.mid = Middle(widths[-1], operations)
        self.up = nn.ModuleList(
            Level(before, width, 3, operations, upsample=width == widths[1])
            for before, width in zip((*widths[1:], widths[-1]), widths, strict=True)
        )
        self.conv_out = _conv(hidden, outputs, 3, operations)
        self.learnable_gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(_silu(x)) * (1 + self.learnable_gain.to(x))


class Level(nn.Module):
    """Residual blocks of one width, then a change of length."""

    def __init__(self, inputs: int, width: int, blocks: int, operations: Any, *, downsample: bool = False, upsample: bool = False) -> None:
        super().__init__()
        self.block = nn.ModuleList(Residual(width if i else inputs, width, operations) for i in range(blocks))
        self.downsample = Downsample(width, operations) if downsample else None
        self.upsample = Upsample(width, operations) if upsample else None

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x).clamp(-LIMIT, LIMIT)
        for change in (self.downsample, self.upsample):
            x = x if change is None else change(x)
        return x


class Middle(nn.Module):
    """Residual block, attention, residual block."""

    def __init__(self, dim: int, operations: Any) -> None:
        super().__init__()
        self.block_1 = Residual(dim, dim, operations)
        self.attn_1 = Attention(dim, operations)
        self.block_2 = Residual(dim, dim, operations)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x))).clamp(-LIMIT, LIMIT)


class Residual(nn.Module):
    """Two convolutions; both ways start from the normalised input."""

    def __init__(self, inputs: int, outputs: int, operations: Any) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, outputs, 3, operations)
        self.conv2 = _conv(outputs, outputs, 3, operations)
        self.nin_shortcut = None if inputs == outputs else _conv(inputs, outputs, 1, operations)

    def forward(self, x: Tensor) -> Tensor:
        x = _unit(x)
        h = self.conv2(_silu(self.conv1(_silu(x))))
        return _merge(x if self.nin_shortcut is None else self.nin_shortcut(x), h)


class Attention(nn.Module):
    """One head over the whole length, on unit queries, keys and values."""

    def __init__(self, dim: int, operations: Any) -> None:
        super().__init__()
        self.qkv = _conv(dim, 3 * dim, 1, operations)
        self.proj_out = _conv(dim, dim, 1, operations)

    def forward(self, x: Tensor) -> Tensor:
        # Output channel 3 c + i is channel c of query, key or value.
        q, k, v = (_unit(y).transpose(1, 2).contiguous() for y in self.qkv(x).unflatten(1, (-1, 3)).unbind(2))
        rows = [F.scaled_dot_product_attention(part, k, v) for part in q.split(QUERIES, dim=1)]
        return _merge(x, self.proj_out(torch.cat(rows, dim=1).transpose(1, 2)))


class Downsample(nn.Module):
    """Half the length; an odd last step is left out."""

    def __init__(self, dim: int, operations: Any) -> None:
        super().__init__()
        self.conv1 = _conv(dim, dim, 1, operations)
        self.conv2 = _conv(dim, dim, 1, operations)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.avg_pool1d(self.conv1(x), 2))


class Upsample(nn.Module):
    """Double the length."""

    def __init__(self, dim: int, operations: Any) -> None:
        super().__init__()
        self.conv = _conv(dim, dim, 3, operations)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.repeat_interleave(2, dim=-1))


def _conv(inputs: int, outputs: int, kernel: int, operations: Any) -> nn.Module:
    return operations.Conv1d(inputs, outputs, kernel, padding=kernel // 2, bias=False)


def _unit(x: Tensor) -> Tensor:
    """Root mean square of 1 over the channels."""
    return x / (EPS + x.square().mean(1, keepdim=True).sqrt())


def _silu(x: Tensor) -> Tensor:
    """SiLU, divided by the root mean square it has for normal input."""
    return F.silu(x) / 0.596


def _merge(x: Tensor, h: Tensor) -> Tensor:
    """A mixture as large as its parts."""
    return torch.lerp(x, h, MIX) / ((1 - MIX) ** 2 + MIX**2) ** 0.5
