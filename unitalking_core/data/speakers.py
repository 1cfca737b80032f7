"""The speakers of the synthetic corpus: which voice of which engine, how fast, and in which split.

A speaker is a person (or a distinct artificial voice), not an engine: one person heard through two engines would be one speaker, and a
speaker that is held out is held out everywhere. Chosen by measurement: understood by a recogniser, aligned, and unlike each other by a
speaker encoder. The mbrola voices' licences do not suit a model that others use: they are held out, for tests only.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from .waveforms import TONE_BANDS


@dataclass(frozen=True)
class Speaker:
    """One voice. `rate` is its fixed speaking speed (1 = as the engine speaks by itself); `traits` are words for the caption.

    `shift` multiplies pitch and formants at an unchanged tempo, which makes another, virtual, voice of the same engine's (1 = as it is);
    `pitch` multiplies the pitch alone, `liveliness` its ups and downs; `tone` is its colour, in decibels at `waveforms.TONE_BANDS`.
    """

    name: str
    engine: str
    voice: str
    gender: str
    rate: float
    traits: tuple[str, ...]
    split: str = "train"
    shift: float = 1.0
    pitch: float = 1.0
    liveliness: float = 1.0
    tone: tuple[float, ...] = ()


_NATURAL: tuple[Speaker, ...] = (
    Speaker("slt", "flite", "slt", "woman", 1.22, ("clear voice", "calm voice")),
    Speaker("rms", "flite", "rms", "man", 1.25, ("deep voice", "warm low voice")),
    Speaker("awb", "flite", "awb", "man", 1.10, ("Scottish voice", "lively voice")),
    Speaker("kal", "flite", "kal16", "man", 1.15, ("flat voice", "dry voice")),
    Speaker("bdl", "rhvoice", "bdl", "man", 1.10, ("firm voice", "bright male voice")),
    Speaker("clb", "rhvoice", "clb", "woman", 1.30, ("confident voice", "rich voice")),
    Speaker("pico_us", "pico", "en-US", "woman", 1.22, ("soft voice", "gentle voice")),
    Speaker("ked", "festival", "ked_diphone", "man", 1.20, ("nasal voice", "plain voice")),
    Speaker("joe", "piper", "joe", "man", 1.10, ("natural voice", "steady voice")),
    Speaker("nezumi", "kokoro", "jf_nezumi", "woman", 1.05, ("natural voice", "bright voice")),
    Speaker("tebukuro", "kokoro", "jf_tebukuro", "woman", 1.10, ("natural voice", "smooth voice")),
)

_ROBOTIC: tuple[Speaker, ...] = (
    Speaker("espeak_us", "espeak", "en-us", "man", 1.1, ("robotic voice", "mechanical voice")),
    Speaker("espeak_f", "espeak", "en-us+f2", "woman", 1.15, ("light robotic voice", "thin voice")),
    Speaker("espeak_f4", "espeak", "en-us+f4", "woman", 1.05, ("robotic voice", "soft robotic voice")),
    Speaker("espeak_belinda", "espeak", "en-us+belinda", "woman", 1.0, ("robotic voice", "mechanical voice")),
    Speaker("espeak_klatt", "espeak", "en-us+klatt4", "man", 1.1, ("buzzing robotic voice", "old computer voice")),
    Speaker("espeak_hugo", "espeak", "en-us+Hugo", "man", 1.1, ("robotic voice", "metallic voice")),
    Speaker("espeak_victor", "espeak", "en-us+victor", "man", 1.1, ("robotic voice", "mechanical voice")),
    Speaker("espeak_gene", "espeak", "en-us+Gene", "man", 1.1, ("robotic voice", "mechanical voice")),
    Speaker("espeak_iven", "espeak", "en-us+iven", "man", 1.1, ("robotic voice", "synthetic voice")),
    Speaker("espeak_edward", "espeak", "en-us+edward", "man", 1.1, ("robotic voice", "synthetic voice")),
    Speaker("espeak_storm", "espeak", "en-us+Storm", "man", 1.1, ("robotic voice", "metallic voice")),
)

_HELDOUT: tuple[Speaker, ...] = (
    Speaker("alan", "rhvoice", "alan", "man", 1.15, ("Scottish voice", "soft low voice"), "heldout"),
    Speaker("pico_gb", "pico", "en-GB", "woman", 1.2, ("British voice", "polite voice"), "heldout"),
    Speaker("rab", "festival", "rab_diphone", "man", 1.15, ("British voice", "sharp voice"), "heldout"),
    Speaker("don", "festival", "don_diphone", "man", 1.0, ("British voice", "plain voice"), "heldout"),
    Speaker("alpha", "kokoro", "jf_alpha", "woman", 1.05, ("natural voice", "clear voice"), "heldout"),
    Speaker("kumo", "kokoro", "jm_kumo", "man", 1.15, ("natural voice", "low voice"), "heldout"),
    Speaker("mbrola_us1", "mbrola", "mb-us1", "woman", 1.0, ("American voice", "plain voice"), "heldout"),
    Speaker("mbrola_us2", "mbrola", "mb-us2", "man", 1.0, ("American voice", "flat voice"), "heldout"),
    Speaker("mbrola_us3", "mbrola", "mb-us3", "man", 1.0, ("American voice", "plain voice"), "heldout"),
    Speaker("mbrola_en1", "mbrola", "mb-en1", "man", 1.0, ("British voice", "sharp voice"), "heldout"),
    Speaker("mbrola_de4", "mbrola", "mb-de4-en", "man", 1.0, ("German accent", "foreign accent"), "heldout"),
    Speaker("mbrola_de5", "mbrola", "mb-de5-en", "woman", 1.0, ("German accent", "foreign accent"), "heldout"),
    Speaker("mbrola_de6", "mbrola", "mb-de6-en", "man", 1.0, ("German accent", "foreign accent"), "heldout"),
    Speaker("espeak_steph", "espeak", "en-us+steph", "woman", 1.0, ("robotic voice", "mechanical voice"), "heldout"),
    Speaker("espeak_grandma", "espeak", "en-us+grandma", "woman", 1.0, ("old robotic voice", "robotic voice"), "heldout"),
)

UP = 1.15
DOWN = 0.86
# Left out are the shifts that the speaker encoder cannot tell from another training voice (clb, nezumi and tebukuro upwards).
_SHIFTS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("slt", "rms", "awb", "kal", "bdl", "pico_us", "ked", "joe"), (UP, DOWN)),
    **dict.fromkeys(("clb", "nezumi", "tebukuro"), (DOWN,)),
}


def _virtual(speaker: Speaker, shift: float) -> Speaker:
    name, trait = ("up", "high voice") if shift > 1 else ("down", "low voice")
    return replace(speaker, name=f"{speaker.name}_{name}", shift=shift, traits=(trait,))


_VIRTUAL = tuple(_virtual(speaker, shift) for speaker in _NATURAL for shift in _SHIFTS[speaker.name])

STRANGER_SHIFT = (0.82, 1.22)
STRANGER_PITCH = (0.78, 1.30)
STRANGER_LIVELINESS = (0.7, 1.4)
STRANGER_RATE = (0.9, 1.12)
STRANGER_TILT = (-2.0, 2.0)
STRANGER_TONE = 2.5
"""Standard deviation over bands, in decibels, around the tilt."""


def stranger(rng: random.Random, speaker: Speaker, name: str) -> Speaker:
    """A voice that is met once: `speaker` with another length of throat, and a pitch, an intonation, a tempo and a colour of its own.

    Many of them teach a model to take a voice from its reference, where a few dozen speakers can be known by heart.
    """
    shift, pitch = (round(math.exp(rng.uniform(math.log(low), math.log(high))), 2) for low, high in (STRANGER_SHIFT, STRANGER_PITCH))
    height = shift * pitch
    trait = "high voice" if height > UP**0.5 else "low voice" if height < DOWN**0.5 else rng.choice(speaker.traits)
    tilt, middle = rng.uniform(*STRANGER_TILT), len(TONE_BANDS) // 2
    return replace(
        speaker, name=name, shift=shift, pitch=pitch, liveliness=rng.uniform(*STRANGER_LIVELINESS),
        rate=speaker.rate * rng.uniform(*STRANGER_RATE), traits=(trait,),
        tone=tuple(tilt * (band - middle) + rng.gauss(0.0, STRANGER_TONE) for band in range(len(TONE_BANDS))),
    )  # fmt: skip


KOKORO_STYLES = {
    "woman": (
        "af_alloy af_aoede af_bella af_heart af_jessica af_kore af_nicole af_nova af_river af_sarah af_sky bf_alice bf_emma bf_isabella "
        "bf_lily ef_dora ff_siwis hf_alpha hf_beta if_sara jf_gongitsune jf_nezumi jf_tebukuro pf_dora zf_xiaobei zf_xiaoni zf_xiaoxiao "
        "zf_xiaoyi"
    ),
    "man": (
        "am_adam am_echo am_eric am_fenrir am_liam am_michael am_onyx am_puck am_santa bm_daniel bm_fable bm_george bm_lewis em_alex "
        "em_santa hm_omega hm_psi im_nicola pm_alex pm_santa zm_yunjian zm_yunxi zm_yunxia zm_yunyang"
    ),
}
"""Their names; all but the two that are held out (jf_alpha, jm_kumo)."""
BLEND_WEIGHT = (-0.3, 1.3)
"""Of the first of two styles. Outside 0..1 a voice is less like the other one than anybody real: as clear, and more unlike the rest."""


def blend(rng: random.Random, gender: str, name: str) -> Speaker:
    """A neural voice on the line through two of Kokoro's, changed as a stranger is."""
    first, second = rng.sample(KOKORO_STYLES[gender].split(), 2)
    weight = round(rng.uniform(*BLEND_WEIGHT), 2)
    spoken = f"{first}:{weight:.2f}+{second}:{1 - weight:.2f}"
    return stranger(rng, Speaker(name, "kokoro_blend", spoken, gender, 1.1, ("natural voice", "clear voice")), name)


SPEAKERS: tuple[Speaker, ...] = _NATURAL + _ROBOTIC + _VIRTUAL + _HELDOUT
