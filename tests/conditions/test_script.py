"""Scripts: what is spoken, what is described, how long the words take."""

from __future__ import annotations

import pytest

from unitalking_core.conditions.script import ScriptError, estimate, guess_language, languages, limits, parse


@pytest.mark.parametrize(
    ("speech", "description", "prompt"),
    [
        ("hello there", "a man", "<S>hello there<E> a man"),
        ("<S>hello there<E> a man", "", "<S>hello there<E> a man"),
        ("a man, <S>hello<E> calm", "quiet room", "<S>hello<E> a man,, calm, quiet room"),
        (" hello ", "", "<S>hello<E>"),
        ("", "rain on a roof", "<S><E> rain on a roof"),
    ],
)
def test_speech_and_description_are_kept_apart(speech: str, description: str, prompt: str) -> None:
    assert parse(speech, description).prompt.replace(",,", ",") == prompt.replace(",,", ",")


@pytest.mark.parametrize(
    ("speech", "description", "message"),
    [
        ("", " ", "nothing is spoken"),
        ("<S> <E>", "", "nothing is spoken"),
        ("<E>a<S>", "", "marked"),
        ("a", "<S>b<E>", "description holds"),
    ],
)
def test_wrong_scripts_are_named(speech: str, description: str, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        parse(speech, description)


@pytest.mark.parametrize(
    ("word", "count"),
    [("the", 1), ("made", 1), ("little", 2), ("boxes", 2), ("wanted", 2), ("walked", 1), ("beautiful", 3), ("table", 2), ("don't", 1)],
)
def test_english_syllables(word: str, count: int) -> None:
    assert estimate(word, "en").syllables == count


@pytest.mark.parametrize(
    ("text", "language", "syllables"),
    [
        ("Der Vogel singt im Garten, und die Katze schläft.", "de", 12),
        ("El perro corre por la calle y canta muy bien.", "es", 14),
        ("La ragazza è nella casa e non canta.", "it", 14),
        ("Le chat est dans le jardin et nous parlons.", "fr", 10),
        ("今天天气很好，我们去公园散步。", "zh", 13),
        ("きょうはいいてんきです", "ja", 10),
        ("Hôm nay trời đẹp quá.", "vi", 5),
        ("안녕하세요", "other", 5),
        ("Привет, как дела?", "other", 5),
        ("the rainbow is in the sky", "en", 7),
        ("42", "en", 2.4),
    ],
)
def test_languages_are_told_apart_and_counted(text: str, language: str, syllables: float) -> None:
    assert guess_language(text) == language
    assert estimate(text).syllables == pytest.approx(syllables, abs=1)


def test_english_speech_takes_what_synthetic_voices_take() -> None:
    """Means over twelve voices of four engines, in seconds (flite, RHVoice, pico, espeak-ng)."""
    measured = {
        "The rainbow is a division of white light into many beautiful colors.": 3.9,
        "please bring me a cup of coffee": 2.0,
        "When the sunlight strikes raindrops in the air, they act as a prism.": 4.2,
        "why does the old farmer laugh at his horse": 2.7,
    }
    for text, seconds in measured.items():
        assert estimate(text, "en").seconds == pytest.approx(seconds, rel=0.25)


def test_pace_pauses_and_words() -> None:
    plain = estimate("one two three four", "en")
    assert plain.words == 4
    assert estimate("one two three four", "en", pace=2.0).seconds == pytest.approx(plain.seconds / 2)
    assert estimate("one two. three, four", "en").seconds == pytest.approx(plain.seconds + 0.65)
    assert estimate("one two three four.", "en").seconds == plain.seconds
    assert set(languages()) == {"en", "fr", "de", "it", "es", "ja", "zh", "vi", "other"}
    with pytest.raises(ScriptError, match="no speaking rate"):
        estimate("a", "xx")
    with pytest.raises(ScriptError, match="pace"):
        estimate("a", pace=0)


def test_it_is_said_in_words() -> None:
    text = " ".join(["golden"] * 24)
    said = estimate(text, "en").against(5.0)
    assert said.startswith("these 24 words need about 10.5 s, the clip has 5.0 s: too short")
    assert "long pauses" in estimate("hi", "en").against(5.0)
    assert estimate("hi", "en").against(0.6).startswith("this 1 word needs about 0.5 s, the clip has 0.6 s")
    assert estimate("今天天气很好").against(2.0).startswith("these 6 syllables")


def test_a_models_limits_are_stated() -> None:
    english, german, chinese = (estimate("the", code) for code in ("en", "de", "zh"))
    assert limits("nano-text", 2.0, english, 2.0) == []
    assert "speaks English, the words look like German" in limits("nano-text", 2.0, german, 2.0)[0]
    assert "trained on clips of 2.0 s" in limits("nano-text", 2.0, english, 4.0)[0]
    assert limits("umt5-xxl", 5.0, chinese, 5.0) == []
    assert limits("unknown", 5.0, estimate("the", "vi"), 5.0) == []


def test_a_sound_without_words() -> None:
    need = estimate("")
    assert (need.words, need.seconds, need.fit(2.0)) == (0, 0.0, "well")
    assert need.against(2.0) == "nothing is spoken, the clip has 2.0 s"
    assert limits("nano-text", 2.0, need, 2.0) == ["this model was trained on speech alone: it answers other sounds with mumbling"]
    assert limits("umt5-xxl", 5.0, need, 5.0) == []
