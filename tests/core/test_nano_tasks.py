"""The shipped model keeps the table of tasks: who may not be heard changes nothing, what is given has no say in how noisy it is."""

from __future__ import annotations

import pytest
import torch

from scripts.host import ROOT
from unitalking_core.generate import Pipeline
from unitalking_core.tasks import TASKS


@pytest.fixture(scope="module")
def nano() -> Pipeline:
    return Pipeline.load(ROOT / "models" / "nano" / "unitalking-nano.safetensors")


@torch.inference_mode()
def velocity(pipeline: Pipeline, task: str, audio_seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    config = pipeline.config
    clip = config.timeline.clip(0.5)
    stride = config.video.spatial_stride
    noise = torch.Generator().manual_seed(0)
    video = torch.randn(
        1, config.video.channels, clip.video_latents, config.video.height // stride, config.video.width // stride, generator=noise
    )
    audio = torch.randn(1, config.audio.channels, clip.audio_tokens, generator=torch.Generator().manual_seed(audio_seed))
    times = [None if m is None else 700 * m[None] for m in TASKS[task].masks(clip.video_latents, clip.audio_tokens)]
    conditions = pipeline.transformer.prepare(pipeline.text_encoder.encode(["<S>the red bird sings<E> a woman"]))
    return pipeline.transformer(video, audio, *times, conditions, TASKS[task].visibility)


def test_the_sounds_noise_changes_nothing_in_a_given_video(nano: Pipeline) -> None:
    """TV2A: the video stream's velocity is the same bit for bit, whatever the sound is; in T2AV it is not."""
    (video, audio), (same, other) = velocity(nano, "TV2A", 1), velocity(nano, "TV2A", 2)
    assert torch.equal(video, same)
    assert (audio - other).abs().max() > 1e-2
    assert not torch.equal(velocity(nano, "T2AV", 1)[0], velocity(nano, "T2AV", 2)[0])
