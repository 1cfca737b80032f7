"""Speech of the synthetic corpus: free engines say a sentence, a forced alignment says when each phone is heard.

Notation: waveforms are float32 (N,) in -1..1 at SAMPLE_RATE. Phones are (start seconds, end seconds, ARPAbet symbol without stress),
silences left out.

One alignment path (pocketsphinx with its own acoustic model) times every engine alike, so that no engine's convention leaks into the
lips. Nothing here touches the network.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from ..conditions.voice import ACTIVE_ABOVE_PEAK, ACTIVE_RMS
from .engines import ENGINES
from .speakers import SPEAKERS, Speaker
from .visemes import Phone
from .waveforms import SAMPLE_RATE, SpeechError, intoned, shifted, to_int16, toned


def _installed(speaker: Speaker) -> bool:
    return ENGINES[speaker.engine].installed(speaker.voice)


def missing_engines() -> dict[str, str]:
    """Engines that are not installed, or lack one of their voices: name -> how to install it whole."""
    return {speaker.engine: ENGINES[speaker.engine].install for speaker in SPEAKERS if not _installed(speaker)}


def available_speakers(split: str | None = None) -> tuple[Speaker, ...]:
    """Speakers whose engine and voice are installed, in a fixed order; all, or those of one split ("train", "heldout")."""
    return tuple(s for s in SPEAKERS if (split is None or s.split == split) and _installed(s))


def say(speaker: Speaker, text: str, rate: float | None = None) -> np.ndarray:
    """float32 (N,) of `speaker` saying `text` (letters, spaces, apostrophes, commas and full stops), at `rate` or the speaker's own.

    Raises SpeechError when the engine or the voice is missing (with how to install it) or fails.
    """
    if not re.fullmatch(r"[A-Za-z' ,.]+", text):
        raise SpeechError(f"cannot say {text!r}: only letters, spaces, apostrophes, commas and full stops are understood")
    if speaker.engine not in ENGINES:
        raise SpeechError(f"speaker {speaker.name!r} names the unknown engine {speaker.engine!r}; known: {', '.join(ENGINES)}")
    engine = ENGINES[speaker.engine]
    if not _installed(speaker):
        raise SpeechError(f"speaker {speaker.name!r} needs the engine {speaker.engine!r}, which is not installed: {engine.install}")
    # A shifted voice lasts 1 / shift as long: the engine speaks that much slower (or faster), and the tempo stays.
    waveform = engine.say(speaker.voice, text, (rate or speaker.rate) / speaker.shift)
    return changed(speaker, waveform)


def changed(speaker: Speaker, waveform: np.ndarray) -> np.ndarray:
    """What the speaker's engine said, float32 (N,), in the speaker's own length of throat, pitch, intonation and colour."""
    if speaker.shift != 1.0:
        waveform = shifted(waveform, speaker.shift)
    if (speaker.pitch, speaker.liveliness) != (1.0, 1.0):
        waveform = intoned(waveform, speaker.pitch, speaker.liveliness)
    return toned(waveform, speaker.tone) if speaker.tone else waveform


@lru_cache(maxsize=1)
def _decoder():  # noqa: ANN202 - the type exists only where pocketsphinx is installed
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise SpeechError("timing the phones needs pocketsphinx: pip install pocketsphinx") from error
    # Wide beams keep odd voices alive. The word lattice (bestpath) is off: its path may disagree with the final state, and then the
    # second pass fails, in one sentence out of six.
    return Decoder(lm=None, loglevel="FATAL", cmn="batch", beam=1e-80, wbeam=1e-60, pbeam=1e-80, bestpath=False)


def align(waveform: np.ndarray, text: str) -> list[Phone]:
    """When each phone of `text` is heard in float32 (N,) `waveform`: [(start seconds, end seconds, symbol), ...], silences left out.

    Raises SpeechError when the words are not in the dictionary, or do not fit the recording.
    """
    words = re.sub(r"[^a-z' ]", " ", text.lower()).split()
    decoder = _decoder()
    unknown = [word for word in words if decoder.lookup_word(word) is None]
    if unknown:
        raise SpeechError(f"the pronouncing dictionary lacks {', '.join(unknown)}")
    lead = 0.15  # the aligner wants some silence at either end
    quiet = np.random.default_rng(0).normal(0.0, 2e-4, round(lead * SAMPLE_RATE)).astype(np.float32)
    samples = to_int16(np.concatenate([quiet, waveform, quiet])).tobytes()
    # What was heard before shifts the feature normalisation by a hair: start afresh, so that a clip depends on itself alone.
    decoder.reinit_feat()
    try:
        decoder.set_align_text(" ".join(words))
        for second_pass in (False, True):
            if second_pass:
                decoder.set_alignment()
            decoder.start_utt()
            decoder.process_raw(samples, full_utt=True)
            decoder.end_utt()
        # Entries live only as long as the iteration that hands them out: copy on the way.
        entries = [(entry.name, [(phone.name, phone.start, phone.duration) for phone in entry]) for entry in decoder.get_alignment()]
    except (RuntimeError, TypeError) as error:
        raise SpeechError(f"could not align {text!r} with its recording: {error}") from error
    heard = [re.sub(r"\(\d+\)$", "", name) for name, _ in entries]
    if [name for name in heard if name in words] != words:
        raise SpeechError(f"the alignment of {text!r} lost words: {' '.join(heard)}")
    limit = len(waveform) / SAMPLE_RATE
    phones = []
    for (_, parts), name in zip(entries, heard, strict=True):
        if name not in words:
            continue
        for symbol, first, count in parts:
            start = min(max(first / 100.0 - lead, 0.0), limit)
            end = min(max((first + count) / 100.0 - lead, start), limit)
            phones.append((start, end, symbol))
    return phones


def utter(speaker: Speaker, text: str, rate: float | None = None) -> tuple[np.ndarray, list[Phone]]:
    """`text` by `speaker`, cut to the speech: float32 (N,) loudness-normalised to ACTIVE_RMS, and its phones from second 0."""
    waveform = say(speaker, text, rate)
    phones = align(waveform, text)
    margin = 0.02
    start = max(phones[0][0] - margin, 0.0)
    end = min(phones[-1][1] + 2 * margin, len(waveform) / SAMPLE_RATE)
    speech = waveform[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)].astype(np.float32).copy()
    if len(speech) < SAMPLE_RATE // 4:
        raise SpeechError(f"{speaker.name} said {text!r} in only {len(speech) / SAMPLE_RATE:.2f} s")
    fade = np.linspace(0.0, 1.0, round(0.008 * SAMPLE_RATE), dtype=np.float32)
    speech[: len(fade)] *= fade
    speech[-len(fade) :] *= fade[::-1]
    level = np.abs(speech)
    active = speech[level > ACTIVE_ABOVE_PEAK * level.max()]
    speech *= ACTIVE_RMS / max(float(np.sqrt(np.mean(active**2))), 1e-6)
    peak = float(np.abs(speech).max())
    if peak > 0.95:
        # The few loud samples are rounded off instead of turning the whole sentence down: loudness stays equal between speakers.
        speech = np.where(np.abs(speech) > 0.7, np.sign(speech) * (0.7 + 0.25 * np.tanh((np.abs(speech) - 0.7) / 0.25)), speech)
    return speech.astype(np.float32), [(a - start, b - start, symbol) for a, b, symbol in phones]
