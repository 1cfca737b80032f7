"""The codecs as VAE objects of the host: core VAEEncode, VAEDecode, VAEEncodeAudio and VAEDecodeAudio work on them.

Those bundled in a checkpoint are here, MMAudio's in `audio_codec`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import torch
from torch import Tensor

from ..unitalking_core import checkpoint as checkpoints
from ..unitalking_core.checkpoint import Checkpoint
from ..unitalking_core.codecs import LEARNED, build_audio_codec, build_video_codec
from ..unitalking_core.config import AudioConfig, ModelConfig, VideoConfig


class _CodecVAE(comfy.sd.VAE):
    """The host's VAE has no place to inject a codec, so a subclass sets every attribute the host's methods read."""

    patcher_class = comfy.model_patcher.ModelPatcher
    # The bundled codecs are plain torch modules and small: they are loaded whole instead of being streamed layer by layer.
    disable_offload = True

    def __init__(self, codec: torch.nn.Module, config: ModelConfig, latent_channels: int) -> None:
        management = comfy.model_management
        self.unitalking = config
        self.first_stage_model = codec.eval().requires_grad_(False)
        self.latent_channels = latent_channels
        self.pad_channel_value = None
        self.working_dtypes = [torch.float32]
        self.not_video = self.handles_tiling = self.crop_input = False
        self.extra_1d_channel = self.format_encoded = self.size = None
        self.downscale_index_formula = self.upscale_index_formula = None
        self.audio_sample_rate = config.audio.sample_rate
        self.device = management.vae_device()
        self.output_device = management.intermediate_device()
        self.vae_dtype = self.choose_dtype()
        management.archive_model_dtypes(self.first_stage_model)
        self.patcher = self.patcher_class(self.first_stage_model, load_device=self.device, offload_device=management.vae_offload_device())

    def choose_dtype(self) -> torch.dtype:
        """The type that signals and latents come in; the weights take it on."""
        dtype = comfy.model_management.vae_dtype(self.device, self.working_dtypes)
        self.first_stage_model.to(dtype)
        return dtype

    def load(self, memory: float) -> None:
        """Bring the codec to its device with `memory` bytes to spare."""
        comfy.model_management.load_models_gpu([self.patcher], memory_required=memory, force_full_load=self.disable_offload)


class VideoVAE(_CodecVAE):
    """Pictures (F, H, W, 3) in [0, 1] <-> latents (B, C, T, h, w)."""

    def __init__(self, codec: torch.nn.Module, config: ModelConfig) -> None:
        super().__init__(codec, config, config.video.channels)
        stride, pixels = config.video.temporal_stride, config.video.spatial_stride
        self.latent_dim, self.output_channels, self.crop_input = 3, 3, True
        self.upscale_ratio = (lambda t: max(0, t * stride - stride + 1), pixels, pixels)
        self.downscale_ratio = (lambda f: max(0, (f + stride - 1) // stride), pixels, pixels)
        self.upscale_index_formula = self.downscale_index_formula = (stride, pixels, pixels)
        self.process_input = lambda image: image * 2 - 1
        self.process_output = lambda image: image.add_(1).div_(2).clamp_(0, 1)
        # Shapes are (B, C, time, height, width), of pixels when encoding and of latents when decoding; 64 values a pixel are at work.
        size = comfy.model_management.dtype_size
        self.memory_used_encode = lambda shape, dtype: 64 * shape[2] * shape[3] * shape[4] * size(dtype)
        self.memory_used_decode = lambda shape, dtype: 64 * shape[2] * stride * shape[3] * shape[4] * pixels**2 * size(dtype)

    def decode_chunks(self, latent: Tensor, latents_per_chunk: int) -> Iterator[Tensor]:
        """Latent (1, C, T, h, w) -> uint8 frames (n, H, W, 3) on the CPU, chunk by chunk, equal to decoding it whole."""
        self.load(self.memory_used_decode((1, latent.shape[1], latents_per_chunk, *latent.shape[3:]), self.vae_dtype))
        for chunk in self.first_stage_model.decode_chunks(latent.to(self.device, self.vae_dtype), latents_per_chunk):
            comfy.model_management.throw_exception_if_processing_interrupted()
            pixels = self.process_output(chunk[0].float()).movedim(0, -1)
            yield pixels.mul(255).round_().to(torch.uint8).cpu()


class AudioVAE(_CodecVAE):
    """Waveforms (B, N, channels) <-> latents (B, C, La)."""

    def __init__(self, codec: torch.nn.Module, config: ModelConfig) -> None:
        super().__init__(codec, config, config.audio.channels)
        self.latent_dim, self.output_channels = 1, 1
        self.downscale_ratio = self.upscale_ratio = config.audio.samples_per_token
        self.process_input = lambda waveform: waveform.mean(1, keepdim=True)
        self.process_output = lambda waveform: waveform
        size = comfy.model_management.dtype_size
        self.memory_used_encode = lambda shape, dtype: 64 * shape[-1] * size(dtype)
        self.memory_used_decode = lambda shape, dtype: 64 * shape[-1] * config.audio.samples_per_token * size(dtype)

    def vae_encode_crop_pixels(self, pixels: Tensor) -> Tensor:
        """The host would keep the left channel alone; `process_input` takes the mean of all."""
        return pixels

    def encode_voice(self, waveform: Tensor) -> Tensor:
        """Waveform (1, N) at the codec's rate -> latent (1, C, L)."""
        return self.encode(waveform[None].movedim(1, -1))

    def decode_waveform(self, latent: Tensor) -> Tensor:
        """Latent (B, C, La) -> waveform (B, 1, N) on the CPU, at the level the model made it."""
        return self.decode(latent).movedim(-1, 1).float().cpu()


def require_audio_vae(vae: Any, audio: AudioConfig | None = None) -> AudioVAE:
    """Raises ValueError unless this is the audio VAE of a UniTalking model; one whose sound is as `audio` says, where it does."""
    if not isinstance(vae, AudioVAE):
        raise ValueError("audio_vae is not UniTalking's: connect the 'audio VAE' output (the fourth) of Load UniTalking Model")
    own = vae.unitalking.audio
    if audio is not None and _layout(own) != _layout(audio):
        raise ValueError(f"this audio VAE is of another model ({own.codec}, the clip's is {audio.codec}): connect that of the clip's model")
    return vae


def _layout(audio: AudioConfig) -> tuple:
    return audio.codec, audio.channels, audio.sample_rate, audio.samples_per_token


def require_video_vae(vae: Any, channels: int, video: VideoConfig | None = None) -> Any:
    """Raises ValueError unless this VAE makes and reads pictures as latents of so many channels, and as `video` says, where it does."""
    if isinstance(vae, AudioVAE) or vae.latent_channels != channels:
        raise ValueError(f"this VAE is not for clips of {channels} channels: connect the 'VAE' output of Load UniTalking Model")
    learned = vae.unitalking.video.codec if isinstance(vae, VideoVAE) else None
    if video is not None and (learned or video.codec in LEARNED) and learned != video.codec:
        raise ValueError(f"this VAE is of another model than the clip, which is of {video.codec}: connect the VAE of the clip's model")
    return vae


def bundled_video_vae(checkpoint: Checkpoint) -> VideoVAE:
    """The video codec bundled in a checkpoint. Raises CheckpointError."""
    config = checkpoint.config
    return VideoVAE(_load(build_video_codec(config.video), checkpoint, checkpoints.VIDEO_CODEC), config)


def bundled_audio_vae(checkpoint: Checkpoint) -> AudioVAE:
    """The audio codec bundled in a checkpoint. Raises CheckpointError."""
    config = checkpoint.config
    return AudioVAE(_load(build_audio_codec(config.audio), checkpoint, checkpoints.AUDIO_CODEC), config)


def _load(codec: Any, checkpoint: Checkpoint, part: str) -> Any:
    checkpoints.load_into(codec, checkpoint.part(part), f"{part.replace('_', ' ')} of {checkpoint.path.name}", torch.float32)
    return codec
