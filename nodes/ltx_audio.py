"""The host's own audio VAE of LTX-2.3 as the audio VAE of models that make its latents (NAVA): stereo, 25 tokens of 128 values a second."""

from __future__ import annotations

import json
import os
from inspect import signature
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import torch
import torchaudio
from torch import Tensor, nn

from ..unitalking_core import checkpoint as checkpoints
from ..unitalking_core.checkpoint import CheckpointError
from ..unitalking_core.config import ModelConfig
from .codecs import AudioVAE

try:
    from comfy.ldm.lightricks.vae.audio_vae import AudioVAE as HostAudioVAE
except ImportError:  # a host from before LTX-2
    HostAudioVAE = None  # type: ignore[assignment, misc]

BINS = 16
VALUES_PER_TOKEN = BINS * 87_000
"""At work at once while sound is decoded, as the host counts (comfy/sd.py)."""


class LTXAudioCodec(nn.Module):
    """Waveforms (B, channels, N) at `rate` <-> normalised latents (B, 8 x 16, La), a token's values by channel, then by frequency."""

    def __init__(self, host: nn.Module, rate: int) -> None:
        super().__init__()
        self.host, self.rate = host, rate

    def encode(self, waveform: Tensor) -> Tensor:
        return self.host.encode(waveform, sample_rate=self.rate).transpose(2, 3).flatten(1, 2)

    def decode(self, latent: Tensor) -> Tensor:
        waveform = self.host.decode(latent.unflatten(1, (-1, BINS)).transpose(2, 3))
        made = self.host.output_sample_rate
        return waveform if made == self.rate else torchaudio.functional.resample(waveform, made, self.rate)


class LTXAudioVAE(AudioVAE):
    """Waveforms (B, N, channels) <-> latents (B, 128, La), both channels kept."""

    def __init__(self, codec: LTXAudioCodec, config: ModelConfig) -> None:
        super().__init__(codec, config)
        self.output_channels = 2
        self.process_input = lambda waveform: waveform[:, :2]
        size = comfy.model_management.dtype_size(torch.float32)
        self.memory_used_encode = lambda shape, dtype: 330 * shape[-1] * size
        self.memory_used_decode = lambda shape, dtype: VALUES_PER_TOKEN * shape[-1] * size

    def choose_dtype(self) -> torch.dtype:
        """Always float32, as the host has it."""
        return torch.float32


def load_ltx_audio(path: str | os.PathLike, config: ModelConfig) -> LTXAudioVAE:
    """The VAE and vocoder of a file, built as its metadata says. Raises CheckpointError."""
    checkpoints.require_codec(path, config.audio.codec)
    name = Path(path).name
    if HostAudioVAE is None or [*signature(HostAudioVAE).parameters] != ["metadata"]:  # older ones took their weights as well
        raise CheckpointError(f"{name}: this ComfyUI is too old for LTX-2.3's audio VAE; update ComfyUI")
    state, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
    state = comfy.utils.state_dict_prefix_replace(state, {"audio_vae.": "autoencoder.", "vocoder.": "vocoder."}, filter_keys=True)
    try:
        host: Any = HostAudioVAE(metadata={"config": json.loads((metadata or {})["config"])})
    except (KeyError, ValueError, TypeError, AssertionError) as error:
        raise CheckpointError(
            f"{name}: its metadata does not tell how the audio VAE is built ({error!r}); take the published file, not a re-saved one"
        ) from error
    channels = host.autoencoder.per_channel_statistics.get_buffer("mean-of-means").shape[0]
    rate = config.timeline.token_rate
    if (channels, host.latents_per_second) != (config.audio.channels, float(rate)):
        wanted = f"{config.name} reads {float(rate):g} of {config.audio.channels}"
        raise CheckpointError(f"{name} makes {host.latents_per_second:g} tokens of {channels} values a second; {wanted}")
    checkpoints.load_into(host, state, f"audio codec {name}", torch.float32)
    return LTXAudioVAE(LTXAudioCodec(host, config.audio.sample_rate), config)
