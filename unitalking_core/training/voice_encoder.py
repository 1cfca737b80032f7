"""Which voice a latent of sound is in: a small network that a run learns from its own corpus, in minutes, for `likeness` to compare with.

Two recordings of one voice are pulled together and those of others apart, as contrastive encoders learn (InfoNCE, arXiv 1807.03748).
Nothing of it is in what is shipped, and figures are measured with an encoder that nobody here wrote.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, LAYERS, SIZE, HEADS = 128, 4, 96, 4
STEPS, BATCH, RATE = 800, 192, 2e-3
SHARPNESS = 12.0
TOKENS = (24, 52)
"""Recordings are cut to lengths between."""
MOST_NOISE = 0.6
"""Of the latents, in the model's space: what is generated is never exact."""
People = Mapping[str, Sequence[Tensor]]
"""The recordings (C, L) of everybody, two at least."""


class VoiceEncoder(nn.Module):
    """Latents (B, C, L) of any length -> unit vectors (B, SIZE)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(channels, WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(1 + i % 2) for i in range(LAYERS))
        self.attention = nn.Conv1d(WIDTH, HEADS, 1)
        self.leave = nn.Linear(2 * HEADS * WIDTH, SIZE)
        self.dropout = nn.Dropout(0.1)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.dropout(self.enter(latents))
        for block in self.blocks:
            x = block(x)
        weights, x = self.attention(x).softmax(-1)[:, :, None], x[:, None]
        mean = (weights * x).sum(-1)
        variance = (weights * (x - mean[..., None]).square()).sum(-1)
        return F.normalize(self.leave(torch.cat([mean.flatten(1), (variance + 1e-4).sqrt().flatten(1)], 1)), dim=1)

    @torch.no_grad()
    def voice_of(self, recordings: Sequence[Tensor]) -> Tensor:
        """What these recordings (C, L) of one voice have in common, a unit vector (SIZE,)."""
        return F.normalize(torch.cat([self(recording[None].float()) for recording in recordings]).mean(0), dim=0)


class _Block(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, WIDTH)
        self.along = nn.Conv1d(WIDTH, WIDTH, 3, padding=dilation, dilation=dilation)
        self.across = nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.across(F.gelu(self.along(self.norm(x))))


def learn_voice_encoder(people: People, seed: int, log: Callable[[str], None], steps: int = STEPS) -> VoiceEncoder:
    """Learn to tell these people apart. Raises ValueError where there are fewer than two."""
    names = sorted(people)
    if len(names) < 2:
        raise ValueError(f"{len(names)} voice with two recordings; there is nothing to tell apart")
    rng, channels = random.Random(seed), people[names[0]][0].shape[0]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = VoiceEncoder(channels)
        optimizer = torch.optim.AdamW(encoder.parameters(), RATE, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
        for step in range(1, steps + 1):
            met = rng.sample(names, min(BATCH, len(names)))
            length = rng.randint(*TOKENS)
            pairs = [rng.sample(range(len(people[name])), 2) for name in met]
            clean = torch.stack([_cut(rng, people[n][pair[k]].float(), length) for k in (0, 1) for n, pair in zip(met, pairs, strict=True)])
            level = MOST_NOISE * torch.rand(len(clean), 1, 1, generator=generator).square()
            first, second = encoder((1 - level) * clean + level * torch.randn(clean.shape, generator=generator)).chunk(2)
            alike, own = SHARPNESS * first @ second.T, torch.arange(len(met))
            loss = (F.cross_entropy(alike, own) + F.cross_entropy(alike.T, own)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 100 == 0 or step == steps:
                log(f"voice encoder: step {step} of {steps}, loss {loss.item():.3f}, {len(names)} voices")
    return encoder.eval().requires_grad_(False)


def _cut(rng: random.Random, latent: Tensor, length: int) -> Tensor:
    """A part of (C, L) that is so long; what is shorter ends with its last token."""
    if latent.shape[1] <= length:
        return F.pad(latent[None], (0, length - latent.shape[1]), mode="replicate")[0]
    start = rng.randint(0, latent.shape[1] - length)
    return latent[:, start : start + length]
