"""The nano audio codec: log-mel, a linear projection of each token's mel frames refined by small convolutions, and a vocoder.

The linear part starts as principal components, the convolutions as nothing. Options choose sizes and the vocoder; "griffin-lim" has no
weights, so a learned one can take its place under another name without touching the latents.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import AudioConfig, ConfigError
from .mel import Mel

VOCODERS = ("griffin-lim",)


class Block(nn.Module):
    """Residual convolutions on (B, C, La)."""

    def __init__(self, dim: int, kernel: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv1d(dim, dim, kernel, padding=kernel // 2)
        self.second = nn.Conv1d(dim, dim, kernel, padding=kernel // 2)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class NanoAudioCodec(nn.Module):
    """Options: `mels`, `n_fft`, `hop`, `hidden` width, `blocks` on each way, `vocoder` and its `iterations` and `momentum`."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        options: dict[str, Any] = {
            "mels": 128,
            "n_fft": 1024,
            "hop": 320,
            "hidden": 192,
            "blocks": 2,
            "vocoder": "griffin-lim",
            "iterations": 50,
            "momentum": 0.99,
        }
        options |= config.options
        if options["vocoder"] not in VOCODERS:
            raise ConfigError(f"unknown vocoder '{options['vocoder']}'; this version has {', '.join(VOCODERS)}")
        if config.samples_per_token % options["hop"]:
            raise ConfigError(f"a token of {config.samples_per_token} samples is no whole number of hops of {options['hop']}")
        self.samples_per_token = config.samples_per_token
        self.frames_per_token = config.samples_per_token // options["hop"]
        self.mel = Mel(config.sample_rate, options["n_fft"], options["hop"], options["mels"], options["iterations"], options["momentum"])
        inputs, hidden = options["mels"] * self.frames_per_token, options["hidden"]
        self.project = nn.Linear(inputs, config.channels)
        self.restore = nn.Linear(config.channels, inputs)
        self.look = _convolutions(inputs, hidden, config.channels, options["blocks"])
        self.refine = _convolutions(config.channels, hidden, inputs, options["blocks"])

    def encode(self, waveform: Tensor) -> Tensor:
        """Waveform (B, 1, N) in [-1, 1] -> latents (B, C, ceil(N / samples_per_token)). Raises ValueError for other shapes."""
        if waveform.ndim != 3 or waveform.shape[1] != 1 or not waveform.shape[2]:
            raise ValueError(f"a mono waveform must be shaped (B, 1, N), got {tuple(waveform.shape)}")
        return self.encode_mel(self.mel_of(waveform))

    def decode(self, latent: Tensor) -> Tensor:
        """Latents (B, C, La) -> waveform (B, 1, La * samples_per_token) in float32, in [-1, 1]."""
        return self.mel.synthesise(self.decode_mel(latent))[:, None].clamp(-1, 1)

    def mel_of(self, waveform: Tensor) -> Tensor:
        """Waveform (B, 1, N), zero-padded to whole tokens -> its log-mel (B, mels, frames_per_token * La)."""
        return self.mel.analyse(F.pad(waveform[:, 0], (0, -waveform.shape[2] % self.samples_per_token)))

    def encode_mel(self, log_mel: Tensor) -> Tensor:
        """Log-mel (B, mels, frames_per_token * La) -> latents (B, C, La)."""
        frames = rearrange(log_mel, "b m (t k) -> b (k m) t", k=self.frames_per_token).to(self.project.weight.dtype)
        return self.project(frames.transpose(1, 2)).transpose(1, 2) + self.look(frames)

    def decode_mel(self, latent: Tensor) -> Tensor:
        """Latents (B, C, La) -> log-mel (B, mels, frames_per_token * La)."""
        frames = self.restore(latent.transpose(1, 2)).transpose(1, 2) + self.refine(latent)
        return rearrange(frames, "b (k m) t -> b m (t k)", k=self.frames_per_token)


def _convolutions(inputs: int, hidden: int, outputs: int, blocks: int) -> nn.Sequential:
    last = nn.Conv1d(hidden, outputs, 1)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(nn.Conv1d(inputs, hidden, 1), *(Block(hidden) for _ in range(blocks)), nn.SiLU(), last)
