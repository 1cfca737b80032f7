"""The VIDEO that DecodeAV returns: decoded while it is saved, in chunks, as bytes; held as floats only when somebody asks for IMAGE."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy_api.latest import Input, InputImpl, Types
from torch import Tensor

from ..unitalking_core.generate import LATENTS_PER_CHUNK
from ..unitalking_core.media import Encoding, write_clip
from ..unitalking_core.timeline import Clip
from .codecs import AudioVAE, VideoVAE
from .metadata import as_text


class ClipVideo(Input.Video):
    """A generated clip, still as latents: video (1, C, T, h, w), audio (1, C, La) or None."""

    def __init__(self, video: Tensor, audio: Tensor | None, vae: Any, audio_vae: AudioVAE, clip: Clip) -> None:
        self._video, self._audio, self._vae, self._audio_vae = video, audio, vae, audio_vae
        self.clip = clip
        self._waveform: Tensor | None = None
        self._decoded: Tensor | None = None
        self._file: str | None = None

    @property
    def waveform(self) -> Tensor | None:
        """(1, channels, samples) float32, exactly as long as the picture; None for a clip without sound."""
        if self._audio is None:
            return None
        if self._waveform is None:
            decoded = self._audio_vae.decode_waveform(self._audio)[..., : self.clip.samples]
            self._waveform = torch.nn.functional.pad(decoded, (0, self.clip.samples - decoded.shape[-1]))
        return self._waveform

    def audio(self) -> dict[str, Any] | None:
        """The host's AUDIO."""
        return None if self.waveform is None else {"waveform": self.waveform, "sample_rate": self.clip.timeline.sample_rate}

    def frames(self) -> Iterator[Tensor]:
        """uint8 chunks (n, H, W, 3)."""
        if self._decoded is not None:
            yield self._decoded
        elif isinstance(self._vae, VideoVAE):
            yield from self._vae.decode_chunks(self._video, LATENTS_PER_CHUNK)
        else:
            yield self._vae.decode(self._video)[0].mul(255).round_().to(torch.uint8).cpu()

    def images(self) -> Tensor:
        """All frames (F, H, W, 3) float32 in [0, 1]."""
        self._decoded = torch.cat(list(self.frames()))  # as bytes, so that saving does not decode again
        return self._decoded.float().div_(255)

    # The host's VIDEO interface.

    def get_components(self) -> Types.VideoComponents:
        return Types.VideoComponents(images=self.images(), audio=self.audio(), frame_rate=self.get_frame_rate())

    def get_dimensions(self) -> tuple[int, int]:
        stride = self._audio_vae.unitalking.video.spatial_stride
        return self._video.shape[-1] * stride, self._video.shape[-2] * stride

    def get_frame_count(self) -> int:
        return self.clip.frames

    def get_frame_rate(self) -> Fraction:
        return self.clip.timeline.exact_fps

    def get_duration(self) -> float:
        return self.clip.seconds

    def get_stream_source(self) -> str:
        """The clip as a marked file in the host's temporary folder, written once."""
        if self._file is None:
            self._file = str(Path(folder_paths.get_temp_directory()) / f"unitalking_{uuid.uuid4().hex}.mp4")
            Path(self._file).parent.mkdir(parents=True, exist_ok=True)
            write_video(self, self._file, Encoding(quality="high"), None)
        return self._file

    def save_to(
        self,
        path: Any,
        format: Types.VideoContainer = Types.VideoContainer.AUTO,
        codec: Types.VideoCodec = Types.VideoCodec.AUTO,
        metadata: dict | None = None,
        bit_depth: int | None = None,
        crf: float | None = None,
    ) -> None:
        """An mp4 goes straight through the pack's own writer; other forms are the host's, from a file that is marked already."""
        plain_file = isinstance(path, (str, Path)) and Path(path).suffix.lower() == ".mp4" and bit_depth in (None, 8)
        if plain_file and codec in (Types.VideoCodec.AUTO, Types.VideoCodec.H264):
            write_video(self, path, Encoding(quality="balanced" if crf is None else round(crf)), metadata)
        else:
            InputImpl.VideoFromFile(self.get_stream_source()).save_to(path, format, codec, metadata, bit_depth, crf)

    def as_trimmed(self, start_time: float | None = None, duration: float | None = None, strict_duration: bool = False) -> Any:
        return InputImpl.VideoFromFile(self.get_stream_source()).as_trimmed(start_time or 0.0, duration or 0.0, strict_duration)


def write_video(video: Any, path: str | Path, encoding: Encoding, metadata: dict | None) -> None:
    """Any VIDEO of the host through the pack's one writer; a generated clip is decoded while it is written."""
    if isinstance(video, ClipVideo):
        frames, audio, fps = video.frames(), video.audio(), video.get_frame_rate()
    else:
        parts = video.get_components()
        frames = (chunk.mul(255).round().clamp(0, 255).to(torch.uint8).cpu() for chunk in parts.images[..., :3].split(16))
        audio, fps = parts.audio, Fraction(parts.frame_rate)
    write_clip(
        path,
        frames,
        None if audio is None else audio["waveform"][0].float().cpu(),
        fps=fps,
        sample_rate=None if audio is None else int(audio["sample_rate"]),
        encoding=encoding,
        metadata=as_text(metadata),
    )
