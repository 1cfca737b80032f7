"""The nano video codec: one linear projection of space-time patches, refined by small convolutions on both ways.

Causal like Wan's: latent 0 is frame 0 alone, latent k holds frames 4k-3..4k. Frame 0 is read as a patch of four equal frames, so that all
latents live in one space. The linear part starts as the principal components of patches; the convolutions start as nothing
and learn what it leaves out. p is the spatial stride (16), q the temporal one (4).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import VideoConfig

FINE = 4
"""Pixels per cell of the fine grid on which the convolutions see a picture."""
PLACES = ("x", "y", "x^2", "y^2", "x y", "cos pi x", "cos pi y", "cos pi x cos pi y")
"""Where in the picture a cell is, for the convolutions: portraits have a common layout. x and y run from -1 to 1."""


class CausalBlock(nn.Module):
    """Residual convolutions on latents (B, C, T, h, w): one looks at the latent before, one at space alone."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(dim, dim, (2, 3, 3), padding=(0, 1, 1))
        self.second = nn.Conv3d(dim, dim, (1, 3, 3), padding=(0, 1, 1))
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        past = F.pad(F.silu(x), (0, 0, 0, 0, 1, 0), mode="replicate")
        return x + self.second(F.silu(self.first(past)))


class FineBlock(nn.Module):
    """Residual convolutions on single pictures (N, C, H/4, W/4)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(dim, dim, 3, padding=1)
        self.second = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class PastBlock(nn.Module):
    """Residual convolutions on the frames of a clip (B, C, F, H/4, W/4), of which each sees as many before it as a latent holds, less one.

    Two latents err apart, so that pictures would jump from one to the next: this carries on what was there.
    """

    def __init__(self, dim: int, frames: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(dim, dim, (frames, 1, 1))
        self.second = nn.Conv3d(dim, dim, (1, 3, 3), padding=(0, 1, 1))
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        past = F.pad(F.silu(x), (0, 0, 0, 0, self.first.kernel_size[0] - 1, 0), mode="replicate")
        return x + self.second(F.silu(self.first(past)))


class NanoVideoCodec(nn.Module):
    """Options: `hidden` width at latent resolution, `blocks` causal blocks there, `fine` width at a quarter of the picture's resolution and
    `fine_blocks` there on each way, `past_blocks` of the decoder between its frames."""

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        self.p, self.q = config.spatial_stride, config.temporal_stride
        defaults = {"hidden": 128, "blocks": 2, "fine": 48, "fine_blocks": 1, "past_blocks": 0}
        hidden, blocks, fine, fine_blocks, past_blocks = (int(config.options.get(name, value)) for name, value in defaults.items())
        cells = self.p // FINE
        patch = 3 * self.q * self.p**2
        self.project = nn.Linear(patch, config.channels)
        self.restore = nn.Linear(config.channels, patch)
        self.look = nn.Sequential(
            nn.Conv2d(3 * self.q * FINE**2 + len(PLACES), fine, 1),
            *(FineBlock(fine) for _ in range(fine_blocks)),
            nn.Conv2d(fine, hidden, cells, stride=cells),
            nn.SiLU(),
            nn.Conv2d(hidden, config.channels, 1),
        )
        self.enter = nn.Conv3d(config.channels + len(PLACES), hidden, (1, 3, 3), padding=(0, 1, 1))
        self.blocks = nn.ModuleList(CausalBlock(hidden) for _ in range(blocks))
        self.spread = nn.Conv3d(hidden, self.q * fine * cells**2, 1)
        self.past = nn.Sequential(*(PastBlock(fine, self.q) for _ in range(past_blocks)))
        self.draw = nn.Sequential(*(FineBlock(fine) for _ in range(fine_blocks)), nn.SiLU(), nn.Conv2d(fine, 3 * FINE**2, 3, padding=1))
        for parameter in (*self.look[-1].parameters(), *self.draw[-1].parameters()):
            nn.init.zeros_(parameter)

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (B, 3, 4n + 1, H, W) in [-1, 1] -> latents (B, C, n + 1, H/16, W/16). Raises ValueError off that grid."""
        if frames.ndim != 5 or frames.shape[1] != 3:
            raise ValueError(f"frames must be shaped (B, 3, F, H, W), got {tuple(frames.shape)}")
        count, height, width = frames.shape[2:]
        if (count - 1) % self.q or height % self.p or width % self.p:
            raise ValueError(
                f"{count} frames of {width}x{height} are off the grid: {self.q} n + 1 frames, width and height multiples of {self.p}"
            )
        frames = torch.cat([frames[:, :, :1].expand(-1, -1, self.q - 1, -1, -1), frames], dim=2)
        patches = rearrange(frames, "b c (t q) (h y) (w x) -> b t h w (q c y x)", q=self.q, y=self.p, x=self.p)
        latent = rearrange(self.project(patches), "b t h w c -> b c t h w")
        cells = rearrange(frames, "b c (t q) (h y) (w x) -> (b t) (q c y x) h w", q=self.q, y=FINE, x=FINE)
        cells = torch.cat([cells, place_features(cells).expand(len(cells), -1, -1, -1)], dim=1)
        return latent + rearrange(self.look(cells), "(b t) c h w -> b c t h w", b=len(frames))

    def decode(self, latent: Tensor) -> Tensor:
        """Latents (B, C, T, h, w) -> frames (B, 3, 4(T - 1) + 1, 16h, 16w) in [-1, 1]."""
        return self.reconstruct(latent)[:, :, self.q - 1 :].clamp(-1, 1)

    def decode_chunks(self, latent: Tensor, latents_per_chunk: int) -> Iterator[Tensor]:
        """`decode` in pieces along time: the same frames, with memory bounded by the chunk. Raises ValueError for an empty chunk."""
        if latents_per_chunk < 1:
            raise ValueError(f"a chunk needs at least one latent, got {latents_per_chunk}")
        for start in range(0, latent.shape[2], latents_per_chunk):
            before = max(0, start - len(self.blocks) - len(self.past))
            frames = self.reconstruct(latent[:, :, before : start + latents_per_chunk])
            drop = self.q * (start - before) if start else self.q - 1
            yield frames[:, :, drop:].clamp(-1, 1)

    def reconstruct(self, latent: Tensor, places: Tensor | None = None) -> Tensor:
        """Latents -> four frames for every latent, the first one's too, not clamped: what training compares.

        `places` (B, len(PLACES), h, w): where cells are, if the latent is of a part of the picture; see `place_features`.
        """
        linear = rearrange(
            self.restore(rearrange(latent, "b c t h w -> b t h w c")),
            "b t h w (q c y x) -> b c (t q) (h y) (w x)", q=self.q, c=3, y=self.p, x=self.p,
        )  # fmt: skip
        places = (place_features(latent) if places is None else places)[:, :, None].expand(len(latent), -1, latent.shape[2], -1, -1)
        x = self.enter(torch.cat([latent, places], dim=1))
        for block in self.blocks:
            x = block(x)
        cells = self.p // FINE
        x = rearrange(self.spread(F.silu(x)), "b (q c y x) t h w -> b c (t q) (h y) (w x)", q=self.q, y=cells, x=cells)
        x = rearrange(self.past(x), "b c f h w -> (b f) c h w")
        detail = rearrange(self.draw(x), "(b t q) (c y x) h w -> b c (t q) (h y) (w x)", b=len(latent), q=self.q, c=3, y=FINE, x=FINE)
        return linear + detail


def place_features(like: Tensor) -> Tensor:
    """(1, len(PLACES), h, w) for the last two dimensions of a tensor, in its type and on its device."""
    height, width = like.shape[-2:]
    y, x = (((torch.arange(n, device=like.device, dtype=torch.float32) + 0.5) * (2 / n) - 1) for n in (height, width))
    y, x = y[:, None].expand(height, width), x[None].expand(height, width)
    cx, cy = (torch.pi * x).cos(), (torch.pi * y).cos()
    return torch.stack([x, y, x * x, y * y, x * y, cx, cy, cx * cy])[None].to(like.dtype)
