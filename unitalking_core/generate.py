"""The whole job without ComfyUI: text + portrait + voice -> a clip.

`Pipeline.load` reads a checkpoint with its text encoder and codecs; `Pipeline.generate` runs a task of the table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from . import checkpoint as checkpoints
from .codecs import AudioCodec, VideoCodec
from .conditions import TextEncoder
from .conditions.portrait import Fit, fit_portrait, snap_size
from .conditions.voice import fit_voice_tokens, prepare_voice
from .config import ModelConfig
from .flow import Guidance, Pass, sample_euler, uniform_sigmas
from .latents import from_model_space, to_model_space
from .parts import load_part
from .tasks import APART, Visibility, task_for
from .timeline import Clip
from .transformer import Conditions, UniTalkingTransformer

LATENTS_PER_CHUNK = 4


@dataclass(frozen=True)
class GeneratedClip:
    """A sampled clip: video latent (1, C, T, h, w) and waveform (1, samples); frames are decoded when they are asked for."""

    clip: Clip
    video: Tensor
    waveform: Tensor
    codec: VideoCodec

    def frames(self) -> Iterator[Tensor]:
        """uint8 chunks (n, H, W, 3)."""
        with torch.inference_mode():
            for chunk in self.codec.decode_chunks(self.video, LATENTS_PER_CHUNK):
                yield chunk[0].movedim(0, -1).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu()


@dataclass(frozen=True)
class Pipeline:
    """A model with everything it needs, on one device."""

    config: ModelConfig
    transformer: UniTalkingTransformer
    text_encoder: TextEncoder
    video_codec: VideoCodec
    audio_codec: AudioCodec
    device: torch.device

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        files: Mapping[str, str | os.PathLike] | None = None,
    ) -> Pipeline:
        """`files`: where the text encoder and codecs lie that the checkpoint names and does not bundle, by part.

        Raises CheckpointError when a file is not what it should be or a part is nowhere, ConfigError when a package is missing.
        """
        file = checkpoints.load(path)
        text, video, audio = parts = [load_part(file, part, (files or {}).get(part)) for part in checkpoints.BUNDLED]
        transformer = UniTalkingTransformer(file.config, device="meta")
        checkpoints.load_into(transformer, file.part(checkpoints.TRANSFORMER), checkpoints.TRANSFORMER, dtype)
        for module in (transformer, *parts):
            module.to(device).eval().requires_grad_(False)
        return cls(file.config, transformer, text, video, audio, torch.device(device))  # type: ignore[arg-type]

    @torch.inference_mode()
    def generate(
        self,
        text: str,
        *,
        portrait: Tensor | None = None,
        voice: tuple[Tensor, int] | None = None,
        seconds: float | None = None,
        size: tuple[int, int] | None = None,
        fit: Fit = "crop",
        seed: int = 0,
        steps: int | None = None,
        guidance: Guidance | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> GeneratedClip:
        """Generate a clip.

        text: `<S>the words<E> a description`; portrait (H, W, C) in [0, 1]; voice: waveform (channels, N) and its rate in Hz; size: width
        and height in pixels. What is left out is taken from the model's own settings. `on_step(done, total)` is called after each step.
        Raises ValueError (PortraitError, VoiceError) for input that cannot be used.
        """
        if not text.strip():
            raise ValueError("the text is empty: write what is said, such as <S>hello there<E> a woman with glasses")
        settings = self.config.sampling
        clip = self.config.timeline.clip(settings.seconds if seconds is None else seconds)
        width, height = snap_size(*(size or (self.config.video.width, self.config.video.height)), self.config.size_step)
        first = None if portrait is None else self.encode_portrait(portrait, width, height, fit)
        heard = None if voice is None else self.encode_voice(*voice)
        guidance = guidance or Guidance.of(settings)
        if heard is None:
            guidance = guidance.without_voice()
        task = task_for(portrait=first is not None, voice=heard is not None)

        video, audio = self._noise(clip, width, height, seed)
        masks = [m.to(self.device) for m in task.masks(clip.video_latents, clip.audio_tokens) if m is not None]
        velocity = _GuidedVelocity(self, text, heard, guidance, masks, first, video.shape, audio.shape)
        x = torch.cat([video.flatten(1), audio.flatten(1)], dim=1)
        sigmas = uniform_sigmas(steps or settings.steps, settings.shift)
        for i, state in enumerate(sample_euler(velocity, x, sigmas)):
            x = state
            if on_step is not None:
                on_step(i + 1, len(sigmas) - 1)
        video, audio = velocity.split(x)
        waveform = self.audio_codec.decode(from_model_space(audio, self.config.audio))[0, :, : clip.samples].cpu()
        return GeneratedClip(clip, from_model_space(video, self.config.video), waveform, self.video_codec)

    def encode_portrait(self, portrait: Tensor, width: int, height: int, fit: Fit) -> Tensor:
        """(1, C, 1, h, w) in model space."""
        picture, _ = fit_portrait(portrait, width, height, fit)
        pixels = picture.movedim(-1, 0)[None, :, None].to(self.device) * 2 - 1
        return to_model_space(self.video_codec.encode(pixels), self.config.video)

    def encode_voice(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """(1, C, max_voice_tokens) in model space."""
        audio = self.config.audio
        longest = audio.max_voice_tokens * audio.samples_per_token / audio.sample_rate
        voice = prepare_voice(waveform, sample_rate, audio.sample_rate, longest)
        latent = self.audio_codec.encode(voice.waveform[None].to(self.device))
        return fit_voice_tokens(to_model_space(latent, audio), audio.max_voice_tokens)

    def _noise(self, clip: Clip, width: int, height: int, seed: int) -> tuple[Tensor, Tensor]:
        """The host's order of draws, on the CPU, so that a seed means the same start everywhere."""
        generator = torch.Generator().manual_seed(seed)
        stride = self.config.video.spatial_stride
        shapes = (
            (1, self.config.video.channels, clip.video_latents, height // stride, width // stride),
            (1, self.config.audio.channels, clip.audio_tokens),
        )
        return tuple(torch.randn(shape, generator=generator).to(self.device) for shape in shapes)  # type: ignore[return-value]


class _GuidedVelocity:
    """v(x, s) on both latents flattened to one row, given parts held clean; the passes of the guidance run as one batch."""

    def __init__(
        self,
        pipeline: Pipeline,
        text: str,
        voice: Tensor | None,
        guidance: Guidance,
        masks: list[Tensor],
        first: Tensor | None,
        video_shape: torch.Size,
        audio_shape: torch.Size,
    ) -> None:
        self._transformer, self._guidance = pipeline.transformer, guidance
        self._passes = guidance.passes
        self._video_mask, self._audio_mask = masks
        self._first, self._shapes = first, (video_shape, audio_shape)
        self._dtype = next(pipeline.transformer.parameters()).dtype
        self._conditions = self._prepare(pipeline, text, voice)
        joint = Visibility()
        self._visibility = [APART if p is Pass.APART else joint for p in self._passes]

    def _prepare(self, pipeline: Pipeline, text: str, voice: Tensor | None) -> Conditions:
        encoded = pipeline.text_encoder.encode([text, ""]).to(self._dtype)
        rows = [encoded[int(p is Pass.NO_TEXT)] for p in self._passes]
        if voice is None:
            return self._transformer.prepare(torch.stack(rows))
        gate = torch.tensor([float(self._guidance.hears(p)) for p in self._passes], device=voice.device, dtype=self._dtype)
        return self._transformer.prepare(torch.stack(rows), voice.to(self._dtype).expand(len(rows), -1, -1), gate)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Flat x -> video and audio, what is given put back in."""
        video_size = self._shapes[0].numel()
        video, audio = x[:, :video_size].reshape(self._shapes[0]), x[:, video_size:].reshape(self._shapes[1])
        if self._first is not None:
            video = torch.cat([self._first, video[:, :, 1:]], dim=2)
        return video, audio

    def __call__(self, x: Tensor, s: float) -> Tensor:
        rows = len(self._passes)
        batch = [y.to(self._dtype).expand(rows, *y.shape[1:]) for y in self.split(x)]
        times = [(1000 * s * mask).expand(rows, -1) for mask in (self._video_mask, self._audio_mask)]
        out = self._transformer(*batch, *times, self._conditions, self._visibility)
        per_pass = [dict(zip(self._passes, v.float().split(1), strict=True)) for v in out]
        video, audio = self._guidance.combine(*per_pass)
        assert video is not None and audio is not None  # both streams were given, so both come back
        return torch.cat([video.flatten(1), audio.flatten(1)], dim=1)
