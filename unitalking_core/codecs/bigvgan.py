"""BigVGAN, a vocoder: log-mel (B, mels, K) -> waveform (B, 1, K * hop).

Lee et al., arXiv 2206.04658; names and constants as in NVIDIA's BigVGAN v2.4 (7d2b454). Weight norm is folded when a published file is read
(`published.fold_gains`), so that all layers are plain convolutions that a host may own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..transformer import Operations

KERNELS = (3, 7, 11)
DILATIONS = (1, 3, 5)
EDGE_KERNEL = 7
TAPS = 12
ACTIVATION_REACH = TAPS // 2
"""Samples on either side that an activation's output depends on: half of each filter, both at twice the rate."""


@dataclass(frozen=True)
class VocoderShape:
    """`channels` after the first convolution, halved by every stage; `rates` and `kernels` of the stages' transposed convolutions."""

    mels: int
    channels: int
    rates: tuple[int, ...]
    kernels: tuple[int, ...]
    tanh: bool
    """Whether the wave is bounded by tanh, as in version 1 (whose last convolution has a bias), or clamped, as in version 2."""

    @property
    def hop(self) -> int:
        """Samples a mel frame."""
        return math.prod(self.rates)

    @property
    def reach(self) -> int:
        """Frames before and after a frame that its samples depend on."""
        edge, middle = EDGE_KERNEL // 2, max(KERNELS) // 2
        stage = sum(middle * dilation + middle + 2 * ACTIVATION_REACH for dilation in DILATIONS)
        samples = edge + ACTIVATION_REACH
        for rate, kernel in zip(reversed(self.rates), reversed(self.kernels), strict=True):
            samples = math.ceil((samples + stage + kernel) / rate)
        return samples + edge


class BigVGAN(nn.Module):
    """The generator. Its alias-free filters are constants of the class, not weights."""

    def __init__(self, shape: VocoderShape, operations: Any = Operations) -> None:
        super().__init__()
        self.shape = shape
        widths = [shape.channels // 2**i for i in range(len(shape.rates) + 1)]
        self.conv_pre = operations.Conv1d(shape.mels, widths[0], EDGE_KERNEL, padding=EDGE_KERNEL // 2)
        self.ups = nn.ModuleList(
            nn.Sequential(operations.ConvTranspose1d(before, width, kernel, stride=rate, padding=(kernel - rate) // 2))
            for before, width, rate, kernel in zip(widths, widths[1:], shape.rates, shape.kernels, strict=False)
        )
        self.resblocks = nn.ModuleList(ResidualStack(width, kernel, operations) for width in widths[1:] for kernel in KERNELS)
        self.activation_post = AliasFree(widths[-1])
        self.conv_post = operations.Conv1d(widths[-1], 1, EDGE_KERNEL, padding=EDGE_KERNEL // 2, bias=shape.tanh)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.conv_post(self.activation_post(self.features(mel)))
        return x.tanh() if self.shape.tanh else x.clamp(-1, 1)

    def features(self, mel: Tensor) -> Tensor:
        """(B, channels / 2^stages, K * hop): what the last convolution reads, before its activation."""
        x = self.conv_pre(mel)
        for i, up in enumerate(self.ups):
            x = up(x)
            x = sum(self.resblocks[i * len(KERNELS) + j](x) for j in range(len(KERNELS))) / len(KERNELS)
        return x

    def stream(self, mel: Tensor, frames: int) -> Iterator[Tensor]:
        """The same wave in pieces of so many frames, each computed with all its surroundings: memory is bounded, no seam is left."""
        reach, hop = self.shape.reach, self.shape.hop
        for start in range(0, mel.shape[2], frames):
            before, stop = max(0, start - reach), min(mel.shape[2], start + frames)
            yield self(mel[:, :, before : stop + reach])[:, :, (start - before) * hop : (stop - before) * hop]


class ResidualStack(nn.Module):
    """The paper's anti-aliased multi-periodicity block, form 1: three times activation, dilated convolution, activation, convolution."""

    def __init__(self, dim: int, kernel: int, operations: Any) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            operations.Conv1d(dim, dim, kernel, dilation=dilation, padding=kernel // 2 * dilation) for dilation in DILATIONS
        )
        self.convs2 = nn.ModuleList(operations.Conv1d(dim, dim, kernel, padding=kernel // 2) for _ in DILATIONS)
        self.activations = nn.ModuleList(AliasFree(dim) for _ in range(2 * len(DILATIONS)))

    def forward(self, x: Tensor) -> Tensor:
        for i, (first, second) in enumerate(zip(self.convs1, self.convs2, strict=True)):
            x = x + second(self.activations[2 * i + 1](first(self.activations[2 * i](x))))
        return x


class AliasFree(nn.Module):
    """An activation at twice the sampling rate, between two low-pass filters."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.act = SnakeBeta(dim)

    def forward(self, x: Tensor) -> Tensor:
        channels, taps = x.shape[1], low_pass(x.device, x.dtype).expand(x.shape[1], 1, TAPS)
        x = F.pad(x, (5, 5), mode="replicate")
        x = 2 * F.conv_transpose1d(x, taps, stride=2, groups=channels)[..., 15:-15]
        x = F.pad(self.act(x), (5, 6), mode="replicate")
        return F.conv1d(x, taps, stride=2, groups=channels)


class SnakeBeta(nn.Module):
    """x + sin^2(a x) / b with a = e^alpha, b = e^beta, per channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        a, b = (parameter.to(x)[:, None].exp() for parameter in (self.alpha, self.beta))
        return x + (a * x).sin().square() / (b + 1e-9)


@lru_cache
def low_pass(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(TAPS,) Kaiser-windowed sinc with cutoff 0.25 and half-width 0.3 of the doubled rate, summing to 1."""
    cutoff, half_width = 0.25, 0.3
    attenuation = 2.285 * (TAPS // 2 - 1) * math.pi * 4 * half_width + 7.95
    window = torch.kaiser_window(TAPS, periodic=False, beta=0.1102 * (attenuation - 8.7), dtype=torch.float64)
    taps = window * torch.sinc(2 * cutoff * (torch.arange(TAPS, dtype=torch.float64) - TAPS / 2 + 0.5))
    return (taps / taps.sum()).to(device, dtype)
