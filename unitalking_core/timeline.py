"""THE timebase: the only place that converts between seconds, frames, latents, audio tokens, samples and RoPE positions.

A clip has `frames` video frames at `fps`; everything else follows. The video codec is causal: latent 0 is frame 0 alone, latent k
holds the `temporal_stride` frames up to frame k * temporal_stride, so a clip has temporal_stride * n + 1 frames. Video latent k
sits at RoPE position k; audio token j, centred at (j + 0.5) / rate seconds, sits at that time on the same clock (or, where the model was
trained so, at its start).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Timeline:
    """Rates of one model. `fps` frames/s, `sample_rate` samples/s, `samples_per_token` samples in an audio token."""

    fps: float
    temporal_stride: int
    sample_rate: int
    samples_per_token: int
    audio_phase: float = 0.5

    @property
    def exact_fps(self) -> Fraction:
        return Fraction(self.fps).limit_denominator(1001)

    @property
    def token_rate(self) -> Fraction:
        """Audio tokens per second."""
        return Fraction(self.sample_rate, self.samples_per_token)

    @property
    def latent_rate(self) -> Fraction:
        """Video latents per second; also RoPE positions per second."""
        return self.exact_fps / self.temporal_stride

    def clip(self, seconds: float) -> Clip:
        """The clip on the grid nearest to `seconds` (ties go to the longer one). Raises ValueError unless 0 < seconds <= 3600."""
        if not 0 < seconds <= 3600:
            raise ValueError(f"a clip's length must be between 0 and 3600 seconds, got {seconds:g}")
        steps = math.floor((Fraction(seconds) * self.exact_fps - 1) / self.temporal_stride + Fraction(1, 2))
        return self.clip_of_latents(max(steps, 1) + 1)

    def covering(self, seconds: Fraction | float) -> Clip:
        """The shortest clip on the grid that lasts `seconds` or longer. Raises ValueError unless 0 < seconds <= 3600."""
        if not 0 < seconds <= 3600:
            raise ValueError(f"a clip's length must be between 0 and 3600 seconds, got {float(seconds):g}")
        # A recording that is a hair longer than a clip, by rounding, does not ask for another latent.
        steps = math.ceil((Fraction(seconds) * self.exact_fps - 1) / self.temporal_stride - Fraction(1, 1000))
        return self.clip_of_latents(max(steps, 1) + 1)

    def clip_of_latents(self, latents: int) -> Clip:
        """The clip that `latents` >= 1 video latents decode to."""
        if latents < 1:
            raise ValueError(f"a clip needs at least one video latent, got {latents}")
        return Clip(self, (latents - 1) * self.temporal_stride + 1)

    def clip_of_frames(self, frames: int) -> Clip:
        """The longest clip on the grid that `frames` >= 1 frames fill."""
        if frames < 1:
            raise ValueError(f"a clip needs at least one frame, got {frames}")
        return self.clip_of_latents((frames - 1) // self.temporal_stride + 1)

    def frames_shown(self, count: int, source_fps: Fraction, source_frames: int) -> list[int]:
        """Which of `source_frames` frames at `source_fps` is seen at the time of each of `count` frames of this timeline.

        A source that ends earlier stands still on its last frame.
        """
        step = source_fps / self.exact_fps
        return [min(math.floor((i + Fraction(1, 2)) * step), source_frames - 1) for i in range(count)]

    def latent_of_frame(self, frame: int) -> int:
        """The video latent that frame number `frame` is in."""
        return -(-frame // self.temporal_stride)

    def tokens_within(self, seconds: Fraction) -> int:
        """Audio tokens that end within the first `seconds`."""
        return math.floor(seconds * self.token_rate)

    def audio_positions(self, tokens: int, start: float = 0.0) -> list[float]:
        """RoPE time positions of audio tokens 0..tokens-1 of a sound that begins at position `start`."""
        step = self.latent_rate / self.token_rate
        return [start + float((j + Fraction(self.audio_phase)) * step) for j in range(tokens)]


@dataclass(frozen=True)
class Clip:
    """One length on a timeline's grid, in every unit."""

    timeline: Timeline
    frames: int

    def __post_init__(self) -> None:
        if self.frames < 1 or (self.frames - 1) % self.timeline.temporal_stride:
            stride = self.timeline.temporal_stride
            raise ValueError(f"{self.frames} frames are off the grid: a clip has {stride} n + 1 frames")

    @property
    def exact_seconds(self) -> Fraction:
        return self.frames / self.timeline.exact_fps

    @property
    def seconds(self) -> float:
        return float(self.exact_seconds)

    @property
    def video_latents(self) -> int:
        return (self.frames - 1) // self.timeline.temporal_stride + 1

    @property
    def audio_tokens(self) -> int:
        return math.ceil(self.exact_seconds * self.timeline.token_rate)

    @property
    def samples(self) -> int:
        """Samples of the written waveform."""
        return round(self.exact_seconds * self.timeline.sample_rate)

    def describe(self, asked_seconds: float | None = None) -> str:
        """One line for people; says so when the grid moved the length that was asked for."""
        line = f"{self.seconds:.2f} s: {self.frames} frames at {self.timeline.fps:g} fps"
        if asked_seconds is not None and abs(asked_seconds - self.seconds) > 0.005:
            line += f" (asked for {asked_seconds:g} s; lengths go in steps of {self.timeline.temporal_stride} frames)"
        return line
