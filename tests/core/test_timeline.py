"""The timebase: exact, and the same answer from every side."""

from __future__ import annotations

from fractions import Fraction

import pytest

from unitalking_core.timeline import Clip, Timeline


def timeline(fps: float = 24, sample_rate: int = 16000, samples_per_token: int = 640) -> Timeline:
    return Timeline(fps=fps, temporal_stride=4, sample_rate=sample_rate, samples_per_token=samples_per_token)


@pytest.mark.parametrize("fps", [24, 25, 30, 23.976])
@pytest.mark.parametrize(("rate", "spt"), [(16000, 640), (44100, 1024), (16000, 512)])
def test_round_trips_from_1_to_60_seconds(fps: float, rate: int, spt: int) -> None:
    line = timeline(fps, rate, spt)
    for tenths in range(10, 601):
        clip = line.clip(tenths / 10)
        assert line.clip(clip.seconds) == clip
        assert line.clip_of_latents(clip.video_latents) == clip
        assert line.clip_of_frames(clip.frames) == clip
        assert abs(clip.seconds - tenths / 10) <= 2 / fps + 1e-9
        assert (clip.audio_tokens - 1) * spt < clip.exact_seconds * rate <= clip.audio_tokens * spt
        assert abs(clip.samples - clip.exact_seconds * rate) <= Fraction(1, 2)
        assert 0 <= clip.audio_tokens * spt - clip.samples < spt + 1


@pytest.mark.parametrize("frames", range(1, 200, 2))
def test_every_odd_length_snaps_down_to_the_grid(frames: int) -> None:
    clip = timeline().clip_of_frames(frames)
    assert clip.frames <= frames < clip.frames + 4
    assert (clip.frames - 1) % 4 == 0


def test_known_lengths() -> None:
    """121 frames at 24 fps: 31 video latents; 158 audio tokens at 31.25/s (157.55 rounded up), 218 at 43.066/s."""
    clip = timeline(24, 16000, 512).clip_of_frames(121)
    assert (clip.video_latents, timeline(24, 16000, 512).clip_of_frames(121).audio_tokens) == (31, 158)
    assert clip.samples == round(121 / 24 * 16000)
    assert timeline(24, 44100, 1024).clip_of_frames(121).audio_tokens == 218


def test_audio_positions_share_the_videos_clock() -> None:
    """An audio token centred at the time of video latent k has position k."""
    line = timeline()
    positions = line.audio_positions(52)
    assert positions[0] == pytest.approx(0.5 / 25 * 24 / 4)
    assert positions[37] == pytest.approx(37.5 / 25 * 6)
    clip = line.clip_of_frames(49)
    assert positions[-1] <= clip.video_latents + line.latent_rate / line.token_rate


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e6])
def test_impossible_lengths_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        timeline().clip(seconds)


def test_off_grid_frames_are_refused_and_snapping_is_said() -> None:
    with pytest.raises(ValueError, match="4 n \\+ 1"):
        Clip(timeline(), 50)
    assert "asked for 2 s" in timeline().clip(2).describe(2)
    assert "asked" not in timeline().clip(49 / 24).describe(49 / 24)


def test_a_clip_covers_what_is_given() -> None:
    line = timeline()
    for samples in range(3000, 60000, 777):
        seconds = Fraction(samples, 16000)
        clip = line.covering(seconds)
        assert clip.exact_seconds >= seconds
        assert clip.frames == 5 or clip.exact_seconds - seconds < Fraction(4, 24)
    assert line.covering(line.clip_of_frames(49).exact_seconds).frames == 49
    with pytest.raises(ValueError, match="seconds"):
        line.covering(0)


def test_frames_of_another_rate_are_shown_at_their_time() -> None:
    line = timeline()
    assert line.frames_shown(5, Fraction(24), 9) == [0, 1, 2, 3, 4]
    assert line.frames_shown(5, Fraction(48), 10) == [1, 3, 5, 7, 9]
    assert line.frames_shown(6, Fraction(12), 3) == [0, 0, 1, 1, 2, 2]
    assert line.frames_shown(5, Fraction(24), 2) == [0, 1, 1, 1, 1]
    assert line.tokens_within(Fraction(9, 24)) == 9
