"""Long clips: where scripts are cut, how stretches lie on the timeline, and joins without a jump."""

from __future__ import annotations

import math

import pytest
import torch

from unitalking_core.conditions.long_script import Line, cut, dialogue
from unitalking_core.conditions.recording import loudness
from unitalking_core.conditions.script import ScriptError, estimate
from unitalking_core.stretches import Levels, Track
from unitalking_core.timeline import Timeline

LINES = (Timeline(24, 4, 16000, 640), Timeline(24, 4, 44100, 1024), Timeline(25, 4, 16000, 512))


def test_sentences_are_the_first_borders() -> None:
    script = "The red bird sings. My sister, who loves the sea, walks home tonight with her friends! Yes. No."
    parts = cut(script, 2.2)
    assert parts == ["The red bird sings.", "My sister, who loves the sea,", "walks home tonight with her friends!", "Yes. No."]
    assert all(estimate(part).seconds <= 2.2 for part in parts)
    assert cut(script, 60) == [script]


def test_words_are_the_last_borders() -> None:
    parts = cut("a small happy bird sings near the golden lake in the quiet winter morning", 1.5)
    assert len(parts) > 2
    assert " ".join(parts) == "a small happy bird sings near the golden lake in the quiet winter morning"
    assert cut("今天天气很好。我们去公园散步吧。", 3.0) == ["今天天气很好。", "我们去公园散步吧。"]
    assert "".join(cut("我们明天一起去公园散步看花喝茶吃饭", 1.5)) == "我们明天一起去公园散步看花喝茶吃饭"
    assert cut("one line\nanother line", 1.3) == ["one line", "another line"]
    with pytest.raises(ScriptError, match="nothing is spoken"):
        cut(" \n ", 2)


def test_lines_of_a_dialogue() -> None:
    lines, names = dialogue("B: good morning\nA: hello.\nhow are you?\n\nB：fine")
    assert names == ["A", "B"]
    assert lines == [Line(1, "good morning"), Line(0, "hello.\nhow are you?"), Line(1, "fine")]
    assert dialogue("Eva: hi\nMax: hello")[1] == ["Eva", "Max"]
    assert dialogue("b: good morning\na: <S>hello<E>")[0] == [Line(1, "good morning"), Line(0, "hello")]
    assert dialogue("B: hi\nCarol: hello")[1] == ["Carol", "B"]
    with pytest.raises(ScriptError, match="descriptions have inputs of their own"):
        dialogue("A: <S>hello<E> a man")
    for script, message in (("hello", "nobody says"), ("A:\nB: ", "nothing is spoken"), ("A: x\nB: y\nC: z", "3 people speak")):
        with pytest.raises(ScriptError, match=message):
            dialogue(script)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("anchored", [True, False])
def test_stretches_meet_on_the_timeline(line: Timeline, anchored: bool) -> None:
    """Runs that each make the time itself, joined: a whole that is the time itself, to half a token, and never drifts."""

    def clock(stretch_latent: int, stretch_token: int, latents: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        video = torch.arange(stretch_latent, stretch_latent + latents).double().view(1, 1, -1, 1, 1)
        return video, torch.arange(stretch_token, stretch_token + tokens).double().view(1, 1, -1)

    track = Track(line, torch.full((1, 1, 1, 1, 1), -7.0).double() if anchored else None)
    for need in (1.9, 0.4, 1.2, 1.9, 1.9):
        stretch = track.next(need, 2.0)
        assert stretch.clip.seconds <= 2.2
        assert abs(stretch.token / line.token_rate - stretch.latent / line.latent_rate) <= 1 / line.token_rate / 2
        video, audio = track.given(stretch)
        assert (0 if video is None else video.shape[2], 0 if audio is None else audio.shape[-1]) == stretch.known
        made = clock(stretch.latent, stretch.token, stretch.clip.video_latents, stretch.clip.audio_tokens)
        if track.video is not None:
            assert torch.equal(video[:, :, 1:], made[0][:, :, 1 : stretch.known[0]])
            assert torch.equal(audio, made[1][..., : stretch.known[1]])
            assert video[0, 0, 0, 0, 0] == (-7 if anchored else 0)
        track = track.joined(stretch, *made)
    assert track.video.flatten().tolist() == list(range(track.latents))
    assert track.audio.shape[-1] == track.clip.audio_tokens
    assert torch.equal(track.audio.flatten()[:-1], torch.arange(track.clip.audio_tokens - 1).double())


def test_what_is_made_twice_is_faded_over() -> None:
    line = LINES[0]
    track = Track(line).joined(Track(line).next(2, 2), torch.zeros(1, 1, 13, 1, 1), torch.zeros(1, 1, 52))
    stretch = track.next(1.5, 2.0)
    made = torch.ones(1, 1, stretch.clip.video_latents, 1, 1), torch.ones(1, 1, stretch.clip.audio_tokens)
    whole = track.joined(stretch, *made)
    assert whole.video.flatten()[11:14].tolist() == [0, 0.5, 1]
    steps = whole.audio.flatten()[45:54].diff()
    assert (steps >= 0).all()
    assert steps.max() < 0.3


def test_levels() -> None:
    rate, time = 16000, torch.arange(16000) / 16000
    tone = 0.1 * torch.sin(2 * math.pi * 220 * time)
    sound = torch.cat([tone, 0.5 * tone, torch.zeros(16000), 1.5 * tone])[None]
    levels = Levels.alike(sound, rate, (0.0, 1.0, 2.0, 3.0))
    assert levels.gains == pytest.approx((1.0, 2.0, 1.0, 1 / 1.5), rel=0.02)
    out = levels.apply(sound, rate)
    assert abs(loudness(out[:, :15000], rate) - loudness(out[:, 17000:31000], rate)) < 0.2
    assert out.diff().abs().max() < 2 * sound.diff().abs().max()
