"""The table of speakers, the shifted voices, and the pinned files of the neural engines."""

import random
from dataclasses import replace

import numpy as np
import pytest

from unitalking_core.data import neural_engines
from unitalking_core.data.engines import ENGINES
from unitalking_core.data.speakers import KOKORO_STYLES, SPEAKERS, blend, stranger
from unitalking_core.data.speech import SpeechError, available_speakers, say
from unitalking_core.data.waveforms import SAMPLE_RATE, TONE_BANDS, intoned, shifted, toned


def test_no_voice_is_in_two_splits() -> None:
    assert len({speaker.name for speaker in SPEAKERS}) == len(SPEAKERS)
    voices = {split: {(s.engine, s.voice) for s in SPEAKERS if s.split == split} for split in ("train", "heldout")}
    assert not voices["train"] & voices["heldout"]
    assert {speaker.engine for speaker in SPEAKERS} | {"kokoro_blend"} == set(ENGINES)
    assert {speaker.split for speaker in SPEAKERS if speaker.engine == "mbrola"} == {"heldout"}
    assert {speaker.split for speaker in SPEAKERS if speaker.shift != 1.0} == {"train"}


@pytest.mark.parametrize("factor", [0.86, 1.15])
def test_a_shift_moves_a_tone_and_its_end(factor: float) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    moved = shifted(tone, factor)
    assert len(moved) / SAMPLE_RATE == pytest.approx(1 / factor, abs=0.001)
    peak = np.abs(np.fft.rfft(moved * np.hanning(len(moved)))).argmax() * SAMPLE_RATE / len(moved)
    assert peak == pytest.approx(1000 * factor, abs=2)


def test_a_shifted_voice_keeps_its_tempo() -> None:
    plain = next((speaker for speaker in available_speakers("train") if speaker.engine == "flite"), None)
    if plain is None:
        pytest.skip("flite is not installed (apt-get install flite)")
    text = "the red bird sings today"
    lengths = [len(say(replace(plain, shift=shift), text)) for shift in (0.86, 1.0, 1.15)]
    assert max(lengths) / min(lengths) < 1.1


def test_another_file_than_the_pinned_one_is_refused() -> None:
    with pytest.raises(SpeechError, match=r"vocab\.json is not the file this was written for"):
        neural_engines.checked("vocab.json", b"{}")


def test_strangers_are_training_voices_changed_in_pitch_tempo_and_tone() -> None:
    plain = next(speaker for speaker in SPEAKERS if speaker.name == "slt")
    rng = random.Random(3)
    met = [stranger(rng, plain, f"stranger{number}") for number in range(50)]
    assert len({(person.shift, person.pitch, person.rate, person.tone) for person in met}) == 50
    assert {(person.engine, person.voice, person.split) for person in met} == {("flite", "slt", "train")}
    assert min(person.shift for person in met) < 0.9 < 1.1 < max(person.shift for person in met)


def test_blends_are_of_training_styles() -> None:
    rng = random.Random(3)
    met = [blend(rng, gender, f"blend{number}") for number in range(50) for gender in ("woman", "man")]
    assert len({(person.voice, person.shift) for person in met}) == 100
    held_out = {speaker.voice for speaker in SPEAKERS if speaker.split == "heldout"}
    for person in met:
        parts = [part.split(":") for part in person.voice.split("+")]
        assert {name for name, _ in parts} <= set(KOKORO_STYLES[person.gender].split()) - held_out
        assert sum(float(weight) for _, weight in parts) == pytest.approx(1)
    assert any("-" in person.voice for person in met)


def test_a_style_by_itself_is_the_voice_of_that_name() -> None:
    if not ENGINES["kokoro_blend"].installed(""):
        pytest.skip(f"the mixtures of neural voices are not installed: {ENGINES['kokoro_blend'].install}")
    said, blended = (ENGINES[name].say for name in ("kokoro", "kokoro_blend"))
    alone = said("jf_nezumi", "the red bird sings", 1.1)
    assert np.array_equal(alone, blended("jf_nezumi:1.00+af_heart:0.00", "the red bird sings", 1.1))
    assert not np.array_equal(alone[:9000], blended("jf_nezumi:0.40+af_heart:0.60", "the red bird sings", 1.1)[:9000])


def test_a_tone_is_so_many_decibels_at_each_band() -> None:
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    gains = (0.0, 0.0, -2.0, 0.0, 2.0, 4.0, 4.0)
    for hertz, gain in (*zip(TONE_BANDS[:-1], gains, strict=False), (2828.43, 3.0)):
        tone = np.sin(2 * np.pi * hertz * times).astype(np.float32)
        change = 20 * np.log10(np.std(toned(tone, gains)) / np.std(tone))
        assert change == pytest.approx(gain, abs=0.05)


def test_the_pitch_alone_is_changed() -> None:
    """A train of pulses through one formant at 700 Hz: the pulses come faster, the formant stays."""
    pytest.importorskip("parselmouth", reason="Praat is not installed (pip install praat-parselmouth)")
    from scipy.signal import lfilter

    pulses = np.zeros(SAMPLE_RATE)
    pulses[:: SAMPLE_RATE // 125] = 1.0
    radius, angle = 0.985, 2 * np.pi * 700 / SAMPLE_RATE
    voice = lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], pulses).astype(np.float32)
    voice *= 0.3 / np.abs(voice).max()
    changed = intoned(voice, 1.28, 1.0)
    assert len(changed) == len(voice)

    def spectrum(waveform: np.ndarray) -> np.ndarray:
        return np.abs(np.fft.rfft(waveform[4000:12000] * np.hanning(8000)))

    def pitch(waveform: np.ndarray) -> float:
        found = np.fft.irfft(spectrum(waveform) ** 2)
        return SAMPLE_RATE / (40 + int(found[40:200].argmax()))

    assert pitch(voice) == pytest.approx(125, rel=0.02)
    assert pitch(changed) == pytest.approx(160, rel=0.03)
    for heard in (voice, changed):
        around = [spectrum(heard)[round(centre / 2) - 40 : round(centre / 2) + 40].max() for centre in (350, 700, 1400)]
        assert around[1] == max(around)


def test_what_has_no_voice_has_no_pitch() -> None:
    pytest.importorskip("parselmouth", reason="Praat is not installed (pip install praat-parselmouth)")
    with pytest.raises(SpeechError, match="no voice"):
        intoned(np.zeros(SAMPLE_RATE, np.float32), 1.2, 1.0)
