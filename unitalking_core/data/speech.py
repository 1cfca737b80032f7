"""Speech of the synthetic corpus: free engines say a sentence, a forced alignment says when each phone is heard.

Notation: waveforms are float32 (N,) in -1..1 at SAMPLE_RATE. Phones are (start seconds, end seconds, ARPAbet symbol without stress),
silences left out. A speaker is a person (or a distinct artificial voice), not an engine: one person heard through two engines would be
one speaker, and a speaker that is held out is held out everywhere.

One alignment path (pocketsphinx with its own acoustic model) times every engine alike, so that no engine's convention leaks into the
lips. Nothing here touches the network.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..conditions.voice import ACTIVE_ABOVE_PEAK, ACTIVE_RMS
from .visemes import Phone

SAMPLE_RATE = 16000

INSTALL = {
    "flite": ("flite", "apt-get install flite"),
    "espeak": ("espeak-ng", "apt-get install espeak-ng"),
    "festival": ("text2wave", "apt-get install festival festvox-kdlpc16k festvox-rablpc16k   (rab is in Debian's contrib section)"),
    "pico": ("pico2wave", "apt-get install libttspico-utils   (Debian's non-free section)"),
    "rhvoice": ("RHVoice-test", "apt-get install rhvoice rhvoice-english   (Debian's non-free section)"),
}


class SpeechError(RuntimeError):
    """An engine is missing or failed, or a recording could not be aligned with its words."""


@dataclass(frozen=True)
class Speaker:
    """One voice. `rate` is its fixed speaking speed (1 = as the engine speaks by itself); `traits` are words for the caption."""

    name: str
    engine: str
    voice: str
    gender: str
    rate: float
    traits: tuple[str, ...]
    split: str = "train"


SPEAKERS: tuple[Speaker, ...] = (
    Speaker("slt", "flite", "slt", "woman", 1.22, ("clear voice", "calm voice")),
    Speaker("rms", "flite", "rms", "man", 1.25, ("deep voice", "warm low voice")),
    Speaker("awb", "flite", "awb", "man", 1.10, ("Scottish voice", "lively voice")),
    Speaker("kal", "flite", "kal16", "man", 1.15, ("flat voice", "dry voice")),
    Speaker("bdl", "rhvoice", "bdl", "man", 1.10, ("firm voice", "bright male voice")),
    Speaker("clb", "rhvoice", "clb", "woman", 1.30, ("confident voice", "rich voice")),
    Speaker("pico_us", "pico", "en-US", "woman", 1.22, ("soft voice", "gentle voice")),
    Speaker("ked", "festival", "ked_diphone", "man", 1.20, ("nasal voice", "plain voice")),
    Speaker("espeak_us", "espeak", "en-us", "man", 1.0, ("robotic voice", "mechanical voice")),
    Speaker("espeak_f", "espeak", "en-us+f2", "woman", 1.3, ("light robotic voice", "thin voice")),
    Speaker("alan", "rhvoice", "alan", "man", 1.15, ("Scottish voice", "soft low voice"), "heldout"),
    Speaker("pico_gb", "pico", "en-GB", "woman", 1.2, ("British voice", "polite voice"), "heldout"),
    Speaker("rab", "festival", "rab_diphone", "man", 1.15, ("British voice", "sharp voice"), "heldout"),
)


def missing_engines() -> dict[str, str]:
    """Engines that are not installed: name -> how to install it."""
    return {engine: how for engine, (program, how) in INSTALL.items() if shutil.which(program) is None}


def available_speakers(split: str | None = None) -> tuple[Speaker, ...]:
    """Speakers whose engine is installed, in a fixed order; all, or those of one split ("train", "heldout")."""
    absent = missing_engines()
    return tuple(s for s in SPEAKERS if s.engine not in absent and (split is None or s.split == split))


def _command(speaker: Speaker, text: str, folder: Path, rate: float) -> tuple[list[str], bytes]:
    """The command that writes `folder`/speech.wav, and what it reads from standard input. Text is checked by `say`."""
    out = str(folder / "speech.wav")
    if speaker.engine == "flite":
        return ["flite", "-voice", speaker.voice, "--setf", f"duration_stretch={1 / rate:.4f}", "-t", text, "-o", out], b""
    if speaker.engine == "espeak":
        return ["espeak-ng", "-v", speaker.voice, "-s", str(round(165 * rate)), "-w", out, text], b""
    if speaker.engine == "pico":
        return ["pico2wave", "-l", speaker.voice, "-w", out, f"<speed level='{round(100 * rate)}'>{text}</speed>"], b""
    if speaker.engine == "rhvoice":
        return ["RHVoice-test", "-p", speaker.voice, "-r", str(round(100 * rate)), "-o", out], text.encode()
    if speaker.engine == "festival":
        setup = f"(begin (voice_{speaker.voice}) (Parameter.set 'Duration_Stretch {1 / rate:.4f}))"
        return ["text2wave", "-eval", setup, "-o", out], text.encode()
    raise SpeechError(f"speaker {speaker.name!r} names the unknown engine {speaker.engine!r}; known: {', '.join(INSTALL)}")


def read_wav(path: Path) -> np.ndarray:
    """A PCM16 wav file as mono float32 (N,) at SAMPLE_RATE."""
    with wave.open(str(path), "rb") as file:
        rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
        data = file.readframes(file.getnframes())
    if width != 2:
        raise SpeechError(f"{path}: {8 * width}-bit samples; 16-bit PCM is expected")
    signal = np.frombuffer(data, "<i2").reshape(-1, channels).mean(axis=1).astype(np.float32) / 32768.0
    if rate == SAMPLE_RATE:
        return signal
    import torch
    import torchaudio

    return torchaudio.functional.resample(torch.from_numpy(signal), rate, SAMPLE_RATE).numpy()


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """float (N,) in -1..1 -> int16 (N,), clipped."""
    return np.round(np.clip(waveform, -1.0, 1.0) * 32767.0).astype(np.int16)


def say(speaker: Speaker, text: str, rate: float | None = None) -> np.ndarray:
    """float32 (N,) of `speaker` saying `text` (letters, spaces, apostrophes, commas and full stops), at `rate` or the speaker's own.

    Raises SpeechError when the engine is missing (with how to install it) or fails.
    """
    if not re.fullmatch(r"[A-Za-z' ,.]+", text):
        raise SpeechError(f"cannot say {text!r}: only letters, spaces, apostrophes, commas and full stops are understood")
    absent = missing_engines()
    if speaker.engine in absent:
        raise SpeechError(f"speaker {speaker.name!r} needs the engine {speaker.engine!r}, which is not installed: {absent[speaker.engine]}")
    with tempfile.TemporaryDirectory(prefix="unitalking_") as folder:
        command, given = _command(speaker, text, Path(folder), rate or speaker.rate)
        done = subprocess.run(command, input=given, capture_output=True, timeout=60)
        target = Path(folder) / "speech.wav"
        if done.returncode or not target.exists() or target.stat().st_size < 1000:
            raise SpeechError(
                f"{command[0]} failed to say {text!r} (exit {done.returncode}): {done.stderr.decode(errors='replace')[-300:]}"
            )
        return read_wav(target)


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
