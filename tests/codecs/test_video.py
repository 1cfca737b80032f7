"""The nano video codec: geometry, causality, and streaming that equals decoding at once."""

from __future__ import annotations

import pytest
import torch

from unitalking_core.codecs import build_audio_codec, build_video_codec
from unitalking_core.codecs.video import NanoVideoCodec
from unitalking_core.config import AudioConfig, ConfigError, VideoConfig

CONFIG = VideoConfig(
    codec="nano-video", channels=12, fps=24, width=64, height=32, options={"hidden": 16, "blocks": 2, "fine": 8, "past_blocks": 1}
)


@pytest.fixture
def codec() -> NanoVideoCodec:
    """Every weight drawn, so that no path is silent."""
    torch.manual_seed(0)
    codec = build_video_codec(CONFIG).eval().requires_grad_(False)
    for parameter in codec.parameters():
        parameter.normal_(std=0.05)
    return codec


def test_shapes_for_any_multiple_of_the_stride(codec: NanoVideoCodec) -> None:
    for frames, height, width in ((1, 16, 16), (5, 32, 64), (13, 48, 16)):
        latent = codec.encode(torch.rand(2, 3, frames, height, width) * 2 - 1)
        assert latent.shape == (2, 12, (frames - 1) // 4 + 1, height // 16, width // 16)
        assert codec.decode(latent).shape == (2, 3, frames, height, width)


def test_latents_and_frames_depend_on_nothing_later(codec: NanoVideoCodec) -> None:
    frames = torch.rand(1, 3, 13, 32, 32) * 2 - 1
    changed = frames.clone()
    changed[:, :, 5:] = 0
    before, after = codec.encode(frames), codec.encode(changed)
    assert torch.equal(before[:, :, :2], after[:, :, :2])
    assert not torch.allclose(before[:, :, 2], after[:, :, 2])
    assert torch.allclose(codec.decode(before)[:, :, :5], codec.decode(after)[:, :, :5], atol=1e-6)


def test_the_first_latent_is_the_portrait_alone(codec: NanoVideoCodec) -> None:
    frames = torch.rand(1, 3, 9, 32, 32) * 2 - 1
    assert torch.allclose(codec.encode(frames)[:, :, :1], codec.encode(frames[:, :, :1]), atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_chunks_are_the_whole(codec: NanoVideoCodec, chunk: int) -> None:
    latent = torch.randn(2, 12, 7, 2, 3)
    pieces = list(codec.decode_chunks(latent, chunk))
    assert torch.allclose(torch.cat(pieces, dim=2), codec.decode(latent), atol=1e-6)
    assert pieces[0].shape[2] == min(chunk, 7) * 4 - 3


def test_off_grid_frames_are_refused(codec: NanoVideoCodec) -> None:
    with pytest.raises(ValueError, match="4 frames of 32x32 are off the grid"):
        codec.encode(torch.zeros(1, 3, 4, 32, 32))
    with pytest.raises(ValueError, match="shaped"):
        codec.encode(torch.zeros(3, 5, 32, 32))
    with pytest.raises(ValueError, match="at least one latent"):
        next(codec.decode_chunks(torch.zeros(1, 12, 2, 2, 2), 0))


def test_unknown_codecs_are_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown video codec 'wavelet'; this version can build nano-video, wan2.2-vae"):
        build_video_codec(VideoConfig(codec="wavelet", channels=4, fps=24, width=64, height=64))
    with pytest.raises(ConfigError, match="unknown audio codec 'wavelet'; this version can build mmaudio-16k, mmaudio-44k, nano-audio"):
        build_audio_codec(AudioConfig(codec="wavelet", channels=4, sample_rate=16000, samples_per_token=640))
