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

from ..unitalking_core.conditions.portrait import fit_frames
from ..unitalking_core.conditions.recording import downmix, resample
from ..unitalking_core.generate import LATENTS_PER_CHUNK
from ..unitalking_core.media import Encoding, write_clip
from ..unitalking_core.stretches import Levels
from ..unitalking_core.timeline import Clip
from .codecs import AudioVAE, VideoVAE
from .latents import GivenAudio, GivenVideo
from .metadata import as_text
from .player import Watch

FRAMES_PER_CHUNK = 16
FADE_SECONDS = 0.02


class ClipVideo(Input.Video):
    """A generated clip, still as latents: video (1, C, T, h, w), audio (1, C, La) or None. What was given comes back as it came."""

    def __init__(
        self,
        video: Tensor,
        audio: Tensor | None,
        vae: Any,
        audio_vae: AudioVAE,
        clip: Clip,
        given_video: GivenVideo | None = None,
        given_audio: GivenAudio | None = None,
        levels: Levels | None = None,
    ) -> None:
        self._video, self._audio, self._vae, self._audio_vae = video, audio, vae, audio_vae
        self._given_video, self._given_audio = given_video, given_audio
        self.clip, self._levels = clip, levels
        self._sound: tuple[Tensor, int] | None = None
        self._decoded: Tensor | None = None
        self._file: str | None = None

    @property
    def sound(self) -> tuple[Tensor, int] | None:
        """(1, channels, samples) float32 and its rate in Hz; None for a clip without sound. Given sound keeps its own length."""
        given = self._given_audio
        if given is not None and given.replaces is None:
            return given.waveform, given.sample_rate
        if self._audio is None:
            return None
        if self._sound is None:
            made = lasting(self._audio_vae.decode_waveform(self._audio), self.clip.samples)
            rate = self.clip.timeline.sample_rate
            made = made if self._levels is None else self._levels.apply(made, rate)
            self._sound = (made, rate) if given is None else (_continued(given, made, rate), rate)
        return self._sound

    def audio(self) -> dict[str, Any] | None:
        """The host's AUDIO."""
        return None if self.sound is None else {"waveform": self.sound[0], "sample_rate": self.sound[1]}

    def track(self) -> dict[str, Any] | None:
        """The same, exactly as long as the picture, with one or two channels: what is written beside it."""
        if self.sound is None:
            return None
        waveform, rate = self.sound
        waveform = _one_or_two(waveform)
        return {"waveform": lasting(waveform, round(self.get_frame_count() / self.get_frame_rate() * rate)), "sample_rate": rate}

    def frames(self) -> Iterator[Tensor]:
        """uint8 chunks (n, H, W, 3)."""
        given = self._given_video
        if self._decoded is not None:
            yield self._decoded
            return
        if given is not None:
            yield from (as_bytes(chunk) for chunk in _frames(given).split(FRAMES_PER_CHUNK))
        skip = 0 if given is None else self.clip.frames if given.replaces is None else given.replaces
        if skip < self.clip.frames:
            yield from _without(skip, self._decoded_frames())

    def _decoded_frames(self) -> Iterator[Tensor]:
        if isinstance(self._vae, VideoVAE):
            yield from self._vae.decode_chunks(self._video, LATENTS_PER_CHUNK)
        else:
            yield as_bytes(self._vae.decode(self._video)[0])

    def images(self) -> Tensor:
        """All frames (F, H, W, 3) float32 in [0, 1]; given ones bit for bit."""
        given = self._given_video
        if given is not None and given.replaces is None:
            return _frames(given)
        self._decoded = torch.cat(list(self.frames()))  # as bytes, so that saving does not decode again
        images = self._decoded.float().div_(255)
        if given is not None and len(given.frames):
            images[: len(given.frames)] = _frames(given)
        return images

    # The host's VIDEO interface.

    def get_components(self) -> Types.VideoComponents:
        return Types.VideoComponents(images=self.images(), audio=self.track(), frame_rate=self.get_frame_rate())

    def get_dimensions(self) -> tuple[int, int]:
        if self._given_video is not None and self._given_video.replaces is None:
            return self._given_video.video.get_dimensions()
        stride = self._audio_vae.unitalking.video.spatial_stride
        return self._video.shape[-1] * stride, self._video.shape[-2] * stride

    def get_frame_count(self) -> int:
        given = self._given_video
        if given is None:
            return self.clip.frames
        return len(given.frames) + (0 if given.replaces is None else self.clip.frames - given.replaces)

    def get_frame_rate(self) -> Fraction:
        if self._given_video is not None and self._given_video.replaces is None:
            return Fraction(self._given_video.video.get_frame_rate())
        return self.clip.timeline.exact_fps

    def get_duration(self) -> float:
        return float(self.get_frame_count() / self.get_frame_rate())

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


def write_video(video: Any, path: str | Path, encoding: Encoding, metadata: dict | None) -> dict[str, Any]:
    """Any VIDEO of the host through the pack's one writer; a generated clip is decoded while it is written.

    Returns what a player shows of it, as a node's `ui`.
    """
    if isinstance(video, ClipVideo):
        frames, audio, fps = video.frames(), video.track(), video.get_frame_rate()
    else:
        parts = video.get_components()
        frames = (as_bytes(chunk) for chunk in parts.images[..., :3].split(FRAMES_PER_CHUNK))
        audio, fps = parts.audio, Fraction(parts.frame_rate)
    watch = Watch()
    waveform = None if audio is None else _one_or_two(audio["waveform"])[0].float().cpu()
    write_clip(
        path,
        watch.frames(frames),
        waveform,
        fps=fps,
        sample_rate=None if audio is None else int(audio["sample_rate"]),
        encoding=encoding,
        metadata=as_text(metadata),
    )
    return watch.shown(waveform, fps)


def _one_or_two(waveform: Tensor) -> Tensor:
    """Sound (1, channels, N) as files have it: more than two channels become one."""
    return waveform if waveform.shape[1] <= 2 else downmix(waveform[0])[None]


def as_bytes(images: Tensor) -> Tensor:
    """Float pictures in [0, 1] -> uint8 on the CPU."""
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8).cpu()


def lasting(waveform: Tensor, samples: int) -> Tensor:
    """(..., N) cut or followed by silence."""
    return torch.nn.functional.pad(waveform[..., :samples], (0, max(0, samples - waveform.shape[-1])))


def _frames(given: GivenVideo) -> Tensor:
    """The given frames (F, H, W, 3) float32."""
    images = given.video.get_components().images[..., :3]
    images = images[given.frames.start : given.frames.stop] if isinstance(given.frames, range) else images[given.frames]
    return images if given.size is None or not len(images) else fit_frames(images, *given.size, given.fit)


def _without(skip: int, chunks: Iterator[Tensor]) -> Iterator[Tensor]:
    for chunk in chunks:
        yield chunk[skip:]
        skip = max(0, skip - len(chunk))


def _continued(given: GivenAudio, made: Tensor, rate: int) -> Tensor:
    """Earlier sound (1, channels, N), then what was made (1, 1, M) after the part the model heard of it, at the earlier one's loudness.

    Over the last moment of the earlier sound the two fade into each other, as a cut would click.
    """
    earlier = resample(given.waveform.float().cpu(), given.sample_rate, rate)
    made = (made / given.gain).expand(-1, earlier.shape[1], -1)
    fade = min(round(FADE_SECONDS * rate), given.replaces or 0, earlier.shape[-1])
    new = made[..., given.replaces :]
    if not fade:
        return new
    ramp = torch.linspace(0, 1, fade + 2)[1:-1]
    bridge = earlier[..., -fade:] * (1 - ramp) + made[..., given.replaces - fade : given.replaces] * ramp
    return torch.cat([earlier[..., :-fade], bridge, new], dim=-1)
