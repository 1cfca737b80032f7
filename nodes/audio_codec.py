"""MMAudio's codec, from a file made by `unitalking convert-audio-codec`, as a VAE object of the host."""

from __future__ import annotations

import os
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import torch
from torch import Tensor

from ..unitalking_core import checkpoint as checkpoints
from ..unitalking_core.checkpoint import Checkpoint
from ..unitalking_core.codecs.audio_file import PREFIX
from ..unitalking_core.codecs.audio_file import load_audio_codec as read
from ..unitalking_core.codecs.mmaudio import TOKENS_PER_CHUNK, MMAudioCodec
from ..unitalking_core.config import AudioConfig, ModelConfig
from ..unitalking_core.presets import PRESETS
from .codecs import AudioVAE

VALUES_PER_TOKEN = 40_000
VALUES_PER_SAMPLE = 480
"""At work at once, of the VAE and of the vocoder; measured at full width on a CPU (resident set, 44.1 kHz)."""


class ManagedAudioVAE(AudioVAE):
    """Waveforms (B, N, channels) <-> latents (B, C, La).

    The layers are the host's: they keep the file's type, are cast to float32 where they are used, and are offloaded when memory is short.
    """

    disable_offload = False

    def __init__(self, codec: MMAudioCodec, config: ModelConfig) -> None:
        # The host rebinds CoreModelPatcher at start-up, so the name is resolved now.
        self.patcher_class = comfy.model_patcher.CoreModelPatcher
        super().__init__(codec, config)
        size, samples = comfy.model_management.dtype_size(torch.float32), config.audio.samples_per_token
        self.memory_used_encode = lambda shape, dtype: VALUES_PER_TOKEN * (1 + shape[-1] // samples) * size
        self.memory_used_decode = lambda shape, dtype: (
            (VALUES_PER_TOKEN * shape[-1] + VALUES_PER_SAMPLE * samples * min(shape[-1], TOKENS_PER_CHUNK)) * size
        )

    def choose_dtype(self) -> torch.dtype:
        """Always float32: a waveform in half precision has audible noise, and so has the vocoder's phase."""
        return torch.float32

    def decode_tiled_1d(self, samples: Tensor, tile_x: int = TOKENS_PER_CHUNK, overlap: int = 0) -> Tensor:
        """`tile_x` latents' sound at once. How far tiles overlap the vocoder decides: the sound is that of decoding it whole."""
        chunks = self.first_stage_model.decode_chunks(samples.to(self.device, self.vae_dtype), tile_x)
        return torch.cat([chunk.to(self.output_device, self.vae_output_dtype()) for chunk in chunks], dim=2)

    def get_sd(self) -> dict[str, Tensor]:
        """What core's VAESave writes: a file that is recognised again, by its names."""
        return {PREFIX + key: value for key, value in super().get_sd().items()}


def bundled_audio_codec(checkpoint: Checkpoint) -> ManagedAudioVAE:
    """The codec bundled in a checkpoint. Raises CheckpointError."""
    with torch.device("meta"):
        codec = _with_host_layers(checkpoint.config.audio)
    checkpoints.load_into(codec, checkpoint.part(checkpoints.AUDIO_CODEC), f"audio codec of {checkpoint.path.name}")
    return ManagedAudioVAE(codec, checkpoint.config)


def load_audio_codec(path: str | os.PathLike, model: ModelConfig | None = None) -> ManagedAudioVAE:
    """The codec in a file; `model` is the one it is to serve. Raises CheckpointError, also for the codec of another model."""
    if model is not None:
        checkpoints.require_codec(path, model.audio.codec)
    audio, codec = read(path, _with_host_layers, dtype=None)
    return ManagedAudioVAE(codec, model or next(config for config in map(_preset, PRESETS) if config.audio.codec == audio.codec))


def _preset(name: str) -> ModelConfig:
    return PRESETS[name]()


def _with_host_layers(config: AudioConfig) -> Any:
    return MMAudioCodec(config, comfy.ops.manual_cast)
