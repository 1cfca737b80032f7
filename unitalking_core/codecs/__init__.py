"""How a signal becomes a latent and back. A codec is built by the name its model's configuration gives it.

Video codecs: `encode(frames (B, 3, F, H, W) in [-1, 1]) -> (B, C, T, h, w)`, `decode(latent) -> frames`, `decode_chunks(latent, n)`.
Audio codecs: `encode(waveform (B, 1, N)) -> (B, C, La)`, `decode(latent) -> (B, 1, La * samples_per_token)`.
Latents are the codec's own; the model's space is (latent - mean) / std with the statistics in the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from torch import Tensor, nn

from ..config import AudioConfig, ConfigError, VideoConfig
from .audio import NanoAudioCodec
from .mmaudio import MODES, MMAudioCodec
from .video import NanoVideoCodec
from .wan import Wan22VideoCodec


class VideoCodec(Protocol):
    """What every video codec, a module, offers."""

    def encode(self, frames: Tensor) -> Tensor: ...
    def decode(self, latent: Tensor) -> Tensor: ...
    def decode_chunks(self, latent: Tensor, latents_per_chunk: int) -> Iterator[Tensor]: ...


class AudioCodec(Protocol):
    """What every audio codec, a module, offers."""

    def encode(self, waveform: Tensor) -> Tensor: ...
    def decode(self, latent: Tensor) -> Tensor: ...


VIDEO_CODECS: dict[str, Callable[[VideoConfig], nn.Module]] = {"nano-video": NanoVideoCodec, "wan2.2-vae": Wan22VideoCodec}
AUDIO_CODECS: dict[str, Callable[[AudioConfig], nn.Module]] = {"nano-audio": NanoAudioCodec, **dict.fromkeys(MODES, MMAudioCodec)}

LEARNED = ("nano-video", "nano-audio")
"""Those that a run learns from its corpus; the others are public models, which stay as they are."""


def build_video_codec(config: VideoConfig) -> nn.Module:
    """The video codec that the configuration names, freshly initialised. Raises ConfigError for an unknown name."""
    return _named(VIDEO_CODECS, config.codec, "video")(config)


def build_audio_codec(config: AudioConfig) -> nn.Module:
    """The audio codec that the configuration names, freshly initialised. Raises ConfigError for an unknown name."""
    return _named(AUDIO_CODECS, config.codec, "audio")(config)


def _named(known: dict, name: str, what: str) -> Callable:
    if name not in known:
        raise ConfigError(f"unknown {what} codec '{name}'; this version can build {', '.join(sorted(known))}")
    return known[name]
