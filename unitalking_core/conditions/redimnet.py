"""ReDimNet, the speaker encoder of NAVA's voices: a recording -> one vector (Yakovlev et al., arXiv 2407.18223; github.com/IDRnD/ReDimNet).

Features alternate between a picture (B, C, F, T) and a sequence (B, F C, T), whose size F C is the same all the way; each stage reads a
learned mixture of everything before it. Names of weights are those of the published files; how a network is built is told by the file.
Notation: C channels, F frequencies, T frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from ..config import ConfigError

SAMPLE_RATE = 16000
PREEMPHASIS = 0.97
HEADS = 4
KNOWN = (
    "F", "C", "block_1d_type", "block_2d_type", "stages_setup", "group_divisor", "out_channels", "embed_dim", "hop_length", "pooling_func",
    "global_context_att", "feat_type",
)  # fmt: skip
"""Entries of a published configuration that change the network; the others are of training."""


class ReDimNet(nn.Module):
    """Raises ConfigError for a kind of network that is not known here."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        bands, channels = int(config.get("F", 72)), int(config.get("C", 16))
        if config.get("feat_type", "pt") not in ("pt", "pt_mel") or config.get("pooling_func", "ASTP") != "ASTP" or config.get("emb_bn"):
            raise ConfigError("this speaker encoder is another kind of ReDimNet than those known here; take M-vb2+vox2+cnc-ft_mix.pt")
        self.mel = torchaudio.transforms.MelSpectrogram(
            SAMPLE_RATE, 512, 400, int(config.get("hop_length", 160)), 20, 7600, n_mels=bands, window_fn=torch.hamming_window
        )
        self.backbone = Backbone(bands, channels, config)
        width = config.get("out_channels") or bands * channels
        self.pool = AttentivePooling(width, bool(config.get("global_context_att", False)))
        self.bn = nn.BatchNorm1d(2 * width)
        self.linear = nn.Linear(2 * width, int(config.get("embed_dim", 192)))

    def forward(self, waveform: Tensor) -> Tensor:
        """Mono (B, N) at SAMPLE_RATE -> (B, embed_dim), as it comes: not of unit length."""
        padded = F.pad(waveform[:, None], (1, 0), mode="reflect")[:, 0]
        bands = (self.mel(padded[:, 1:] - PREEMPHASIS * padded[:, :-1]) + 1e-6).log()
        rows = self.backbone((bands - bands.mean(-1, keepdim=True))[:, None])
        return self.linear(self.bn(self.pool(rows)))


class Backbone(nn.Module):
    """Picture of log-mel bands (B, 1, F, T) -> sequence (B, width, T)."""

    def __init__(self, bands: int, channels: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        size, f, c, groups = bands * channels, bands, channels, config.get("group_divisor", 4)
        kinds = str(config.get("block_1d_type", "att")), str(config.get("block_2d_type", "convnext_like"))
        self.stem = nn.Sequential(nn.Conv2d(1, c, 3, padding="same"), ChannelNorm(c), ToSequence())
        self.stages = len(config["stages_setup"])
        for i, (stride, blocks, expansion, _, reduction) in enumerate(config["stages_setup"]):
            wide = int(stride * c * expansion)
            layers: list[nn.Module] = [Mixture(i + 1, size), ToPicture(f, c), nn.Conv2d(c, wide, (stride, 1), (stride, 1))]
            c, f = stride * c, f // stride
            layers += [_Named("conv_block", picture_block(kinds[1], int(c * expansion), f, groups)) for _ in range(blocks)]
            if expansion != 1:
                activation = nn.ReLU() if "relu" in kinds[0] and "relu" in kinds[1] else nn.GELU()
                narrowing = nn.Conv2d(int(c * expansion), c, 3, padding="same", groups=1 if groups is None else c // groups)
                layers.append(nn.Sequential(narrowing, nn.BatchNorm2d(c, eps=1e-6), activation, nn.Conv2d(c, c, 1)))
            layers.append(ToSequence())
            if reduction is not None:
                layers.append(SequenceBlock(size, size // reduction, kinds[0]))
            setattr(self, f"stage{i}", nn.Sequential(*layers))
        self.fin_wght1d = Mixture(self.stages + 1, size)
        out = config.get("out_channels")
        self.mfa = nn.Identity() if out is None else nn.Sequential(nn.Conv1d(size, out, 1), nn.BatchNorm1d(out))

    def forward(self, x: Tensor) -> Tensor:
        outs = [self.stem(x)]
        for i in range(self.stages):
            outs.append(getattr(self, f"stage{i}")(outs))
        return self.mfa(self.fin_wght1d(outs))


class Mixture(nn.Module):
    """Sum of N sequences, weighted for each channel."""

    def __init__(self, n: int, channels: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, n, channels if n > 1 else 1, 1))

    def forward(self, xs: Sequence[Tensor]) -> Tensor:
        return (self.w.softmax(1) * torch.stack(list(xs), dim=1)).sum(1)


class ToSequence(nn.Module):
    """(B, C, F, T) -> (B, F C, T)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(1, 2)


class ToPicture(nn.Module):
    """The inverse of `ToSequence`."""

    def __init__(self, f: int, c: int) -> None:
        super().__init__()
        self.sizes = (f, c)

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, self.sizes).transpose(1, 2)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, ...)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class _Named(nn.Module):
    """A block under the name that published files give it."""

    def __init__(self, name: str, block: nn.Module) -> None:
        super().__init__()
        self.add_module(name, block)
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule(self.name)(x)


def picture_block(kind: str, channels: int, bands: int, groups: int | None) -> nn.Module:
    """A block on pictures. Raises ConfigError for an unknown kind."""
    if kind in ("convnext_like", "convnext_like_relu"):
        return ConvNeXt(2, channels, [(3, 3)], groups, nn.ReLU() if kind.endswith("relu") else nn.GELU())
    if kind in ("basic_resnet", "basic_resnet_fwse"):
        return Residual(channels, bands, groups, excited=kind.endswith("fwse"))
    raise ConfigError(f"this speaker encoder has blocks of a kind that is not known here: {kind}")


class ConvNeXt(nn.Module):
    """Grouped convolutions side by side, norm, activation, and a pointwise convolution back, added to what came in."""

    def __init__(self, dims: int, channels: int, kernels: Sequence[Any], groups: int | None, activation: nn.Module) -> None:
        super().__init__()
        conv, norm = (nn.Conv1d, nn.BatchNorm1d) if dims == 1 else (nn.Conv2d, nn.BatchNorm2d)
        split = 1 if groups is None else channels // groups
        self.dwconvs = nn.ModuleList(conv(channels, channels, kernel, padding="same", groups=split) for kernel in kernels)
        self.norm, self.act = norm(channels * len(kernels)), activation
        self.pwconv1 = conv(channels * len(kernels), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pwconv1(self.act(self.norm(torch.cat([conv(x) for conv in self.dwconvs], dim=1))))


class Residual(nn.Module):
    """Two grouped convolutions with pointwise ones behind them, and where `excited` a gain for each frequency band."""

    def __init__(self, channels: int, bands: int, groups: int | None, excited: bool) -> None:
        super().__init__()
        split = 1 if groups is None else channels // groups
        conv = partial(nn.Conv2d, channels, channels, 3, padding=1, bias=False, groups=split)
        pointwise = nn.Identity if groups is None else partial(nn.Conv2d, channels, channels, 1)
        self.conv1, self.conv1pw, self.bn1 = conv(), pointwise(), nn.BatchNorm2d(channels)
        self.conv2, self.conv2pw, self.bn2 = conv(), pointwise(), nn.BatchNorm2d(channels)
        self.se = Excitation(bands, min(64, max(channels, 32))) if excited else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(F.relu(self.conv1pw(self.conv1(x))))
        return F.relu(self.se(self.bn2(self.conv2pw(self.conv2(out)))) + x)


class Excitation(nn.Module):
    def __init__(self, bands: int, hidden: int) -> None:
        super().__init__()
        self.squeeze, self.exitation = nn.Linear(bands, hidden), nn.Linear(hidden, bands)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.exitation(F.relu(self.squeeze(x.mean((1, 3))))).sigmoid()[:, None, :, None]


class SequenceBlock(nn.Module):
    """Context over time at a reduced width, added to the sequence. Raises ConfigError for an unknown kind."""

    def __init__(self, channels: int, hidden: int, kind: str) -> None:
        super().__init__()
        self.red_dim_conv = nn.Sequential(nn.Conv1d(channels, hidden, 1), ChannelNorm(hidden))
        self.tcm = nn.Sequential(*_context(kind, hidden))
        self.exp_dim_conv = nn.Conv1d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.exp_dim_conv(self.tcm(self.red_dim_conv(x)))


def _context(kind: str, hidden: int) -> list[nn.Module]:
    if kind == "fc":
        return [nn.Conv1d(hidden, 2 * hidden, 1), ChannelNorm(2 * hidden), nn.GELU(), nn.Conv1d(2 * hidden, hidden, 1)]
    if kind == "conv":
        return [ConvNeXt(1, hidden, [7, 15, 31], 1, nn.GELU()) for _ in range(4)]
    if kind == "att":
        return [PlaceByConvolution(hidden), Attention(hidden, 2 * hidden)]
    if kind == "conv+att":
        return [*(ConvNeXt(1, hidden, [kernel], 1, nn.GELU()) for kernel in (7, 19, 31, 59)), Attention(hidden, hidden)]
    raise ConfigError(f"this speaker encoder has context of a kind that is not known here: {kind}")


class PlaceByConvolution(nn.Module):
    def __init__(self, channels: int, kernel: int = 59) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = ChannelNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(x))


class Attention(nn.Module):
    """A transformer layer with its norms behind (B, C, T); its activation is GELU's tanh form."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({name: nn.Linear(channels, channels) for name in ("k_proj", "v_proj", "q_proj", "out_proj")})
        self.layer_norm, self.final_layer_norm = nn.LayerNorm(channels, eps=1e-6), nn.LayerNorm(channels, eps=1e-6)
        dense = {"intermediate_dense": nn.Linear(channels, hidden), "output_dense": nn.Linear(hidden, channels)}
        self.feed_forward = nn.ModuleDict(dense)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        q, k, v = (self.attention[f"{n}_proj"](x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for n in "qkv")
        x = self.layer_norm(x + self.attention["out_proj"](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))
        hidden = F.gelu(self.feed_forward["intermediate_dense"](x), approximate="tanh")
        return self.final_layer_norm(x + self.feed_forward["output_dense"](hidden)).transpose(1, 2)


class AttentivePooling(nn.Module):
    """Sequence (B, C, T) -> weighted means and deviations (B, 2 C) (ECAPA-TDNN, arXiv 2005.07143)."""

    def __init__(self, channels: int, with_context: bool, hidden: int = 128) -> None:
        super().__init__()
        self.with_context = with_context
        self.linear1 = nn.Conv1d(3 * channels if with_context else channels, hidden, 1)
        self.linear2 = nn.Conv1d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        if self.with_context:
            deviation = (x.var(-1, keepdim=True) + 1e-7).sqrt()
            seen = torch.cat([x, x.mean(-1, keepdim=True).expand_as(x), deviation.expand_as(x)], dim=1)
        weights = self.linear2(self.linear1(seen).tanh()).softmax(-1)
        mean = (weights * x).sum(-1)
        variance = (weights * x.square()).sum(-1) - mean.square()
        return torch.cat([mean, variance.clamp(min=1e-7).sqrt()], dim=1)
