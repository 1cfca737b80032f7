"""Anisotropic rotary positions on one physical clock.

A head of width d splits into three axes (t, h, w) of d - 4(d//6), 2(d//6), 2(d//6): 44/42/42 of 128, as in Wan. Adjacent pairs rotate.
Video tokens rotate on all three; audio tokens on t alone, their spatial position stays at 0 (UniTalking, section 3), which is the
identity rotation. Tables are (L, d/2) cos and sin, computed in float64, stored in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

THETA = 10000.0


def axis_widths(head_dim: int) -> tuple[int, int, int]:
    """Widths of the t, h, w axes within a head."""
    spatial = 2 * (head_dim // 6)
    return head_dim - 2 * spatial, spatial, spatial


def axis_angles(positions: Sequence[float] | Tensor, width: int) -> Tensor:
    """Angles (len(positions), width/2) of one axis in float64; exponents run over the axis's own width."""
    exponents = torch.arange(0, width, 2, dtype=torch.float64) / width
    return torch.outer(torch.as_tensor(positions, dtype=torch.float64), THETA**-exponents)


def video_angles(grid: Sequence[int], head_dim: int) -> Tensor:
    """Angles (T*h*w, head_dim/2) of a token grid (T, h, w), tokens ordered t, h, w."""
    axes = [axis_angles(torch.arange(n), width) for n, width in zip(grid, axis_widths(head_dim), strict=True)]
    t, h, w = grid
    return torch.cat(
        [
            axes[0][:, None, None].expand(t, h, w, -1),
            axes[1][None, :, None].expand(t, h, w, -1),
            axes[2][None, None, :].expand(t, h, w, -1),
        ],
        dim=-1,
    ).flatten(0, 2)


def audio_angles(positions: Sequence[float], head_dim: int) -> Tensor:
    """Angles (La, head_dim/2) of audio tokens at the given time positions."""
    time = axis_angles(positions, axis_widths(head_dim)[0])
    return torch.cat([time, time.new_zeros(len(positions), head_dim // 2 - time.shape[1])], dim=-1)


def index_angles(positions: Sequence[float], head_dim: int) -> Tensor:
    """Angles (La, head_dim/2) of audio tokens that stand at (n, n, n) on the three axes: what anisotropic positions are compared with."""
    return torch.cat([axis_angles(positions, width) for width in axis_widths(head_dim)], dim=-1)


def tables(angles: Tensor, device: torch.device | str | None = None) -> tuple[Tensor, Tensor]:
    """(cos, sin) of angles, float32 on `device`."""
    return angles.cos().float().to(device), angles.sin().float().to(device)


def rotate(x: Tensor, cos: Tensor, sin: Tensor, heads: int) -> Tensor:
    """Rotate adjacent pairs of x (B, L, D) head by head with tables (L, D/heads/2). Computed in float32, returned in x's dtype."""
    pairs = x.unflatten(-1, (heads, -1, 2)).float()
    even, odd = pairs.unbind(-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(2).to(x.dtype)
