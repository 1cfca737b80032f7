"""Polishing the video decoder: it alone changes, and it knows where in the picture a part of it lies."""

from __future__ import annotations

import pytest
import torch

from unitalking_core.codecs import NanoVideoCodec
from unitalking_core.config import VideoConfig
from unitalking_core.training.codecs import JUMPS, Clips, picture_loss, textures
from unitalking_core.training.config import CodecConfig
from unitalking_core.training.decoder import around, grown, polish_video_decoder

OPTIONS = {"hidden": 8, "blocks": 1, "fine": 8}
VIDEO = VideoConfig(codec="nano-video", channels=6, fps=24, width=64, height=64, mean=(0.0,) * 6, std=(1.0,) * 6, options=OPTIONS)
QUICK = CodecConfig(video_batch=2, polish_steps=2, mouth=5.0)


def clips(count: int = 2) -> Clips:
    pictures = textures(count, 17, (64, 64), torch.Generator().manual_seed(0)).permute(0, 2, 3, 4, 1)
    mouths = torch.zeros(count, 64, 64)
    mouths[:, 40:52, 20:44] = 1
    return Clips(((pictures + 1) * 127.5).round().to(torch.uint8), mouths)


def test_what_was_encoded_stays_valid() -> None:
    torch.manual_seed(0)
    codec = NanoVideoCodec(VIDEO)
    frames = clips().frames.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    latent, decoded = codec.encode(frames), codec.decode(codec.encode(frames))
    polish_video_decoder(codec, VIDEO, clips(), QUICK, 0, lambda line: None)
    assert torch.equal(codec.encode(frames), latent)
    assert not torch.equal(codec.decode(latent), decoded)


def test_the_quarter_around_the_mouth() -> None:
    """It is the mouth's, or the middle; a part of a latent is decoded by where it lies."""
    torch.manual_seed(0)
    codec = NanoVideoCodec(VIDEO)
    torch.nn.init.normal_(codec.draw[-1].weight, std=0.1)
    frames = torch.rand(2, 3, 5, 64, 64) * 2 - 1
    latent, mouths = codec.encode(frames), clips().mouths
    mouths[1] = 0
    seen, weights, coded, places = around(mouths, 16, frames, 1 + mouths, latent)
    assert torch.equal(seen[0], frames[0, :, :, 32:64, 16:48]) and torch.equal(weights[0], 1 + mouths[0, 32:64, 16:48])
    assert torch.equal(seen[1], frames[1, :, :, 16:48, 16:48]) and torch.equal(coded[1], latent[1, ..., 1:3, 1:3])
    single = codec.reconstruct(latent[..., 1:3, 1:3], places[1:].expand(2, -1, -1, -1))
    assert torch.equal(codec.reconstruct(coded, places)[1], single[1])
    assert not torch.equal(codec.reconstruct(coded)[1], single[1])


@pytest.mark.parametrize("changes", [False, True])
def test_wrong_changes_count(changes: bool) -> None:
    """The same error is worse where it comes and goes than where it stays, most between latents: one of four changes."""
    codec = NanoVideoCodec(VIDEO)
    frames = torch.zeros(1, 3, 5, 64, 64)
    with torch.no_grad():
        for parameter in codec.parameters():
            parameter.zero_()
        codec.restore.bias.fill_(0.1)
        if changes:
            codec.restore.bias.view(4, -1)[::2].mul_(-1)
    loss = picture_loss(codec, frames, torch.ones(1, 64, 64), torch.zeros(1, 6, 2, 4, 4)).item()
    wrong, change = 0.1 + 4 * 0.01, 0.2 + 4 * 0.04
    assert loss == pytest.approx(wrong + (change * (JUMPS + 3) / 4 if changes else 0))


def test_a_decoder_grows_without_a_change_and_then_learns_to_carry_on() -> None:
    torch.manual_seed(0)
    codec = NanoVideoCodec(VIDEO)
    latent = torch.randn(1, 6, 4, 4, 4)
    larger, config = grown(codec, VIDEO, 1)
    assert torch.equal(larger.decode(latent), codec.decode(latent)) and config.options["past_blocks"] == 1
    polish_video_decoder(larger, config, clips(), QUICK, 0, lambda line: None)
    assert larger.past[0].second.weight.abs().max() > 0
    again, _ = grown(larger, config, 1)
    assert torch.equal(again.decode(latent), larger.decode(latent))
