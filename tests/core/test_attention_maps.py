"""Attention between the streams: probabilities that explain what the attention gives, and moments that fit the timebase."""

from __future__ import annotations

import pytest
import torch

from tests.tiny import tiny_model
from unitalking_core.attention_maps import AttentionWatch, CrossAttention, box_coverage, chart, inside, mask_coverage, overlay
from unitalking_core.tasks import AUDIO_FOLLOWS, JOINT, Visibility
from unitalking_core.timeline import Timeline
from unitalking_core.transformer.operations import attend

LINE = Timeline(24, 4, 16000, 640)
GRID, TOKENS = (4, 2, 2), 15


@torch.no_grad()
def watched(visibility: Visibility, watch: AttentionWatch | None) -> list[torch.Tensor]:
    model = tiny_model()
    noise = torch.Generator().manual_seed(1)
    video, audio = torch.randn(2, 8, 4, 4, 4, generator=noise), torch.randn(2, 6, TOKENS, generator=noise)
    t = torch.full((2,), 500.0)
    text = torch.randn(2, 12, 16, generator=noise)
    chosen = attend if watch is None else watch.watching()
    return list(model(video, audio, t, t, model.prepare(text), visibility, attend=chosen))


def test_watching_changes_nothing_and_sees_every_block() -> None:
    watch = AttentionWatch(GRID, TOKENS, 2)
    for ours, plain in zip(watched(JOINT, watch), watched(JOINT, None), strict=True):
        assert torch.equal(ours, plain)
    found, both = watch.result(), []
    for block in (0, 1):
        one = AttentionWatch(GRID, TOKENS, 2, block)
        watched(JOINT, one)
        both.append(one.result().audio_to_video)
    assert found.audio_to_video.shape == (TOKENS, *GRID)
    assert found.video_to_audio.shape == (*GRID, TOKENS)
    torch.testing.assert_close(found.audio_to_video, (both[0] + both[1]) / 2)


def test_probabilities_give_the_attentions_own_output() -> None:
    """P v = attention(q, k, v): with the values of one stream 0, the part of the other stream is what is left."""
    noise = torch.Generator().manual_seed(2)
    q, k, v = (torch.randn(1, 16 + TOKENS, 8, generator=noise) for _ in range(3))
    v[:, 16:] = 0
    watch = AttentionWatch(GRID, TOKENS, 1)
    out = watch.watching()(q, k, v, 1)
    seen = watch.result().audio_to_video.flatten(1)
    torch.testing.assert_close(seen @ v[0, :16], out[0, 16:])


def test_a_given_picture_does_not_listen() -> None:
    watch = AttentionWatch(GRID, TOKENS, 2)
    watched(AUDIO_FOLLOWS, watch)
    assert watch.result().video_to_audio is None
    assert watch.result().audio_to_video.sum() > 0


def test_equal_scores_spread_evenly() -> None:
    watch = AttentionWatch(GRID, TOKENS, 1)
    zeros = torch.zeros(1, 16 + TOKENS, 8)
    watch.watch(zeros, zeros, 2)
    torch.testing.assert_close(watch.result().audio_to_video, torch.full((TOKENS, *GRID), 1 / (16 + TOKENS)))
    mass, area = inside(watch.result().seen(LINE), box_coverage((0.25, 0.5, 0.75, 1.0), 2, 2))
    assert mass == pytest.approx(area) == pytest.approx(0.25)


def test_moments_follow_the_timebase() -> None:
    """Token j sounds at latent position (j + 0.5) x 6 / 25: a token that looks at its own moment alone is seen at that moment alone."""
    maps = torch.zeros(TOKENS, *GRID)
    for j in range(TOKENS):
        maps[j, min(round((j + 0.5) * 6 / 25), 3), 1, 0] = 1
    found = CrossAttention(maps, maps.permute(1, 2, 3, 0))
    assert found.seen(LINE)[:, 1, 0].tolist() == [1, 1, 1, 1]
    assert found.seen(LINE).sum() == 4
    assert found.heard(LINE)[:, 1, 0].tolist() == [2, 4, 4, 5]
    assert found.timing().argmax(1).tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3]


def test_coverage_of_boxes_and_masks() -> None:
    cover = box_coverage((0.25, 0.0, 1.0, 0.5), 2, 2)
    assert cover.tolist() == [[0.5, 1.0], [0.0, 0.0]]
    mask = torch.zeros(8, 8)
    mask[:4, 2:] = 1
    assert torch.equal(mask_coverage(mask, 2, 2), cover)


def test_pictures() -> None:
    frames = torch.full((13, 16, 16, 3), 0.5)
    maps = torch.zeros(4, 2, 2)
    maps[1] = 1
    drawn = overlay(frames, maps, LINE)
    assert torch.allclose(drawn[0], frames[0])
    assert torch.allclose(drawn[5], frames[0])  # latent 1 holds the frames 1 to 4
    assert (drawn[1:5] > 0.8).all()
    assert chart(torch.eye(3)).shape == (768, 768, 3)


def test_errors() -> None:
    with pytest.raises(ValueError, match="blocks 0 to 1"):
        AttentionWatch(GRID, TOKENS, 2, 2)
    with pytest.raises(ValueError, match="both streams"):
        AttentionWatch(GRID, TOKENS, 2).result()
