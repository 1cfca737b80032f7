"""MMAudio's sound at two rates: mel spectrogram, 1-D VAE and a BigVGAN vocoder as one audio codec.

Sizes as published (MMAudio 974010a; NVIDIA's bigvgan_v2_44khz_128band_512x; Make-An-Audio 2's vocoder at 16 kHz).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import AudioConfig, ConfigError
from ..transformer import Operations
from .bigvgan import BigVGAN, VocoderShape
from .mmaudio_mel import MMAudioMel
from .mmaudio_vae import MMAudioVAE

FRAMES_PER_TOKEN = 2
TOKENS_PER_CHUNK = 256
"""Latents whose sound is made at once: some six seconds, and some 500 MB at work."""


@dataclass(frozen=True)
class Mode:
    """One of the two published codecs; `hidden` is the VAE's width."""

    sample_rate: int
    n_fft: int
    hop: int
    decibels: bool
    channels: int
    hidden: int
    vocoder: VocoderShape

    @property
    def samples_per_token(self) -> int:
        return FRAMES_PER_TOKEN * self.hop


MODES = {
    "mmaudio-44k": Mode(44100, 2048, 512, False, 40, 512, VocoderShape(128, 1536, (8, 4, 2, 2, 2, 2), (16, 8, 4, 4, 4, 4), tanh=False)),
    "mmaudio-16k": Mode(16000, 1024, 256, True, 20, 384, VocoderShape(80, 1536, (4, 4, 2, 2, 2, 2), (8, 8, 4, 4, 4, 4), tanh=True)),
}


def mmaudio_config(codec: str, hidden: int, vocoder_channels: int, max_voice_tokens: int = 257) -> AudioConfig:
    """The configuration of one of MODES; sizes that are the published ones are not written down."""
    mode = MODES[codec]
    sizes = {"hidden": (hidden, mode.hidden), "vocoder_channels": (vocoder_channels, mode.vocoder.channels)}
    options = {name: size for name, (size, published) in sizes.items() if size != published}
    return AudioConfig(codec, mode.channels, mode.sample_rate, mode.samples_per_token, max_voice_tokens, options=options)


class MMAudioCodec(nn.Module):
    """Options: `hidden` width of the VAE and `vocoder_channels`, where they differ from the published ones. Computes in float32."""

    def __init__(self, config: AudioConfig, operations: Any = Operations) -> None:
        super().__init__()
        mode = MODES[config.codec]
        _check(config, mode)
        shape = mode.vocoder
        width = int(config.options.get("vocoder_channels", shape.channels))
        self.samples_per_token = config.samples_per_token
        self.mel = MMAudioMel(mode.sample_rate, mode.n_fft, mode.hop, shape.mels, decibels=mode.decibels)
        self.vae = MMAudioVAE(shape.mels, mode.channels, int(config.options.get("hidden", mode.hidden)), operations)
        self.vocoder = BigVGAN(VocoderShape(shape.mels, width, shape.rates, shape.kernels, shape.tanh), operations)

    def encode(self, waveform: Tensor) -> Tensor:
        """Waveform (B, 1, N) in [-1, 1] -> latents (B, C, ceil(N / samples_per_token)), the mean of the posterior. Raises ValueError."""
        if waveform.ndim != 3 or waveform.shape[1] != 1 or not waveform.shape[2]:
            raise ValueError(f"a mono waveform must be shaped (B, 1, N), got {tuple(waveform.shape)}")
        whole = F.pad(waveform[:, 0], (0, -waveform.shape[2] % self.samples_per_token))
        return self.vae.encode(self.mel(whole))[0]

    def decode(self, latent: Tensor) -> Tensor:
        """Latents (B, C, La) -> waveform (B, 1, La * samples_per_token) in [-1, 1]."""
        return torch.cat(list(self.decode_chunks(latent, TOKENS_PER_CHUNK)), dim=2)

    def decode_chunks(self, latent: Tensor, tokens_per_chunk: int) -> Iterator[Tensor]:
        """`decode` in pieces of so many tokens. The mel is made whole, for its attention sees all of it, the wave where it is needed."""
        if tokens_per_chunk < 1:
            raise ValueError(f"a chunk needs at least one token, got {tokens_per_chunk}")
        return self.vocoder.stream(self.vae.decode(latent.float()), FRAMES_PER_TOKEN * tokens_per_chunk)


def _check(config: AudioConfig, mode: Mode) -> None:
    for name in ("channels", "sample_rate", "samples_per_token"):
        if getattr(config, name) != getattr(mode, name):
            raise ConfigError(f"{config.codec} has {name} {getattr(mode, name)}, the configuration says {getattr(config, name)}")
