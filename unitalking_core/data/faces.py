"""Who is in the picture: the parameters of a drawn portrait, sampled from a seed, and the words that describe it.

A face is a frozen dataclass of plain numbers, colours (sRGB in 0..1) and style names; `portrait.py` draws it. Lengths are in head units:
the head is about 1.1 high, its centre is the origin, x grows to the viewer's right and y downwards.
"""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass

Colour = tuple[float, float, float]

SKINS: tuple[tuple[str, Colour], ...] = (
    ("very fair skin", (0.98, 0.87, 0.79)),
    ("fair skin", (0.96, 0.81, 0.70)),
    ("light skin", (0.92, 0.74, 0.60)),
    ("olive skin", (0.84, 0.65, 0.48)),
    ("tan skin", (0.76, 0.55, 0.39)),
    ("brown skin", (0.60, 0.41, 0.28)),
    ("dark brown skin", (0.45, 0.30, 0.21)),
    ("dark skin", (0.35, 0.23, 0.17)),
)
HAIR_COLOURS: tuple[tuple[str, Colour], ...] = (
    ("black", (0.11, 0.10, 0.12)),
    ("dark brown", (0.24, 0.15, 0.10)),
    ("brown", (0.38, 0.24, 0.15)),
    ("light brown", (0.55, 0.38, 0.23)),
    ("blond", (0.86, 0.69, 0.42)),
    ("red", (0.66, 0.28, 0.14)),
    ("grey", (0.62, 0.62, 0.64)),
    ("white", (0.88, 0.87, 0.85)),
)
EYES: tuple[Colour, ...] = ((0.30, 0.18, 0.10), (0.42, 0.27, 0.14), (0.25, 0.42, 0.60), (0.30, 0.48, 0.36), (0.40, 0.46, 0.50))
HAIR_STYLES: dict[str, tuple[str, ...]] = {
    "woman": ("long", "wavy", "bob", "bun", "ponytail", "curly", "pixie"),
    "man": ("short", "side part", "quiff", "curly top", "buzz", "bald", "shoulder"),
}
MOUTH_LEVEL = 0.38
"""Where mouths are in pictures, which run from -1 to 1 downwards: framed alike, as the crops of talking-head models are."""
BEARDS = ("none", "stubble", "beard", "moustache", "goatee")
GLASSES = ("none", "round", "square")
CLOTHES = ("t-shirt", "shirt", "turtleneck", "v-neck", "jacket")
BACKGROUNDS = ("plain", "window", "bokeh", "sunburst", "stripes", "shelf")
CLOTH_COLOURS: tuple[tuple[str, Colour], ...] = (
    ("red", (0.76, 0.24, 0.25)),
    ("blue", (0.22, 0.38, 0.66)),
    ("navy", (0.14, 0.20, 0.36)),
    ("green", (0.24, 0.49, 0.37)),
    ("yellow", (0.91, 0.73, 0.30)),
    ("orange", (0.90, 0.52, 0.28)),
    ("purple", (0.46, 0.32, 0.60)),
    ("pink", (0.90, 0.60, 0.65)),
    ("white", (0.93, 0.92, 0.90)),
    ("black", (0.15, 0.15, 0.18)),
    ("grey", (0.52, 0.55, 0.60)),
    ("teal", (0.16, 0.51, 0.55)),
)


@dataclass(frozen=True)
class Face:
    """Everything that makes one portrait. Equal faces draw equal pictures."""

    seed: int
    gender: str
    skin_name: str
    skin: Colour
    hair_style: str
    hair_name: str
    hair: Colour
    fringe: str
    parting: float
    face_width: float
    jaw_width: float
    chin: float
    eye: Colour
    eye_size: float
    eye_gap: float
    eye_tilt: float
    brow_thickness: float
    brow_tilt: float
    brow_height: float
    nose_width: float
    nose_length: float
    mouth_width: float
    mouth_y: float
    lip_fullness: float
    lip: Colour
    blush: float
    freckles: bool
    glasses: str
    glasses_colour: Colour
    beard: str
    earrings: bool
    clothes: str
    cloth_name: str
    cloth: Colour
    background: str
    background_hue: float
    background_value: float
    light: float
    scale: float
    x: float
    y: float


def _jitter(rng: random.Random, colour: Colour, amount: float) -> Colour:
    hue, lightness, saturation = colorsys.rgb_to_hls(*colour)
    hue = (hue + rng.uniform(-0.25, 0.25) * amount) % 1.0
    lightness = min(max(lightness * (1 + rng.uniform(-1, 1) * amount), 0.0), 1.0)
    return colorsys.hls_to_rgb(hue, lightness, min(saturation * (1 + rng.uniform(-1, 1) * amount), 1.0))


def _lip(rng: random.Random, skin: Colour, gender: str) -> Colour:
    tint = rng.choice([(0.75, 0.20, 0.25), (0.80, 0.32, 0.36), (0.62, 0.16, 0.22)]) if gender == "woman" else (0.68, 0.30, 0.28)
    share = rng.uniform(0.45, 0.75) if gender == "woman" else rng.uniform(0.28, 0.42)
    base = tuple(channel * 0.92 for channel in skin)
    return tuple(b + (t - b) * share for b, t in zip(base, tint, strict=True))  # type: ignore[return-value]


def sample_face(seed: int, gender: str | None = None) -> Face:
    """The face of `seed`; `gender` ("woman" or "man") fixes that choice and leaves the rest to the seed. Raises ValueError otherwise."""
    rng = random.Random(f"face {seed}")
    drawn = rng.choice(("woman", "man"))
    gender = gender or drawn
    if gender not in HAIR_STYLES:
        raise ValueError(f"gender {gender!r} has no drawing; choose one of {', '.join(HAIR_STYLES)}")
    woman = gender == "woman"
    skin_index = rng.randrange(len(SKINS))
    skin_name, skin = SKINS[skin_index]
    # Hair goes with skin often enough to look natural, and freely sometimes.
    usual = (range(8) if skin_index < 3 else (0, 1, 2, 3, 6) if skin_index < 5 else (0, 0, 1, 2, 6, 7)) if rng.random() < 0.85 else range(8)
    weights = [0.35 if index in (6, 7) else 1.0 for index in usual]
    hair_name, hair = HAIR_COLOURS[rng.choices(list(usual), weights)[0]]
    cloth_name, cloth = rng.choice(CLOTH_COLOURS)
    skin = _jitter(rng, skin, 0.05)
    scale = rng.uniform(1.25, 1.5)
    return Face(
        seed=seed,
        gender=gender,
        skin_name=skin_name,
        skin=skin,
        hair_style=rng.choice(HAIR_STYLES[gender]),
        hair_name=hair_name,
        hair=_jitter(rng, hair, 0.10),
        fringe=rng.choice(("none", "full", "swept")),
        parting=rng.choice((-1, 1)) * rng.uniform(0.06, 0.20),
        face_width=rng.uniform(0.375, 0.415) if woman else rng.uniform(0.39, 0.43),
        jaw_width=rng.uniform(0.70, 0.80) if woman else rng.uniform(0.80, 0.92),
        chin=rng.uniform(0.26, 0.36) if woman else rng.uniform(0.34, 0.44),
        eye=_jitter(rng, rng.choice(EYES[:2] if skin_index > 4 and rng.random() < 0.9 else EYES), 0.12),
        eye_size=rng.uniform(0.97, 1.15) if woman else rng.uniform(0.86, 1.0),
        eye_gap=rng.uniform(0.158, 0.178),
        eye_tilt=rng.uniform(-0.02, 0.10),
        brow_thickness=rng.uniform(0.011, 0.017) if woman else rng.uniform(0.017, 0.026),
        brow_tilt=rng.uniform(-0.04, 0.03),
        brow_height=rng.uniform(0.118, 0.140) if woman else rng.uniform(0.108, 0.125),
        nose_width=rng.uniform(0.050, 0.066) if woman else rng.uniform(0.060, 0.080),
        nose_length=rng.uniform(0.125, 0.150),
        mouth_width=rng.uniform(0.112, 0.132) if woman else rng.uniform(0.120, 0.142),
        mouth_y=rng.uniform(0.268, 0.292),
        lip_fullness=rng.uniform(0.90, 1.30) if woman else rng.uniform(0.62, 0.95),
        lip=_lip(rng, skin, gender),
        blush=rng.uniform(0.15, 0.40) if woman else rng.uniform(0.05, 0.2),
        freckles=skin_index < 3 and rng.random() < 0.18,
        glasses=rng.choices(GLASSES, (0.72, 0.14, 0.14))[0],
        glasses_colour=rng.choice(((0.10, 0.10, 0.12), (0.35, 0.20, 0.12), (0.62, 0.50, 0.28), (0.45, 0.12, 0.16))),
        beard="none" if woman else rng.choices(BEARDS, (0.45, 0.18, 0.17, 0.08, 0.12))[0],
        earrings=woman and rng.random() < 0.35,
        clothes=rng.choice(CLOTHES),
        cloth_name=cloth_name,
        cloth=_jitter(rng, cloth, 0.08),
        background=rng.choice(BACKGROUNDS),
        background_hue=rng.random(),
        background_value=rng.uniform(0.35, 0.92),
        light=rng.choice((-1.0, 1.0)) * rng.uniform(0.4, 1.0),
        scale=scale,
        x=rng.uniform(-0.03, 0.03),
        y=MOUTH_LEVEL - 0.28 * scale + rng.uniform(-0.03, 0.03),
    )


def describe(face: Face, rng: random.Random) -> str:
    """A caption of the face in a few words, for example "a woman with long dark brown hair and glasses"; `rng` chooses what is said."""
    if face.hair_style == "bald":
        hair = "a bald head"
    elif face.hair_style in ("bun", "ponytail"):
        hair = f"{face.hair_name} hair in a {face.hair_style}"
    elif face.hair_style in ("pixie", "buzz", "quiff", "side part"):
        hair = f"short {face.hair_name} hair"
    else:
        hair = f"{face.hair_style.split()[0].replace('shoulder', 'long').replace('bob', 'bobbed')} {face.hair_name} hair"
    parts = [hair]
    if face.glasses != "none":
        parts.append("glasses")
    if face.beard != "none":
        parts.append("stubble" if face.beard == "stubble" else f"a {face.beard}")
    if rng.random() < 0.5:
        parts.append(face.skin_name)
    listed = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    clothing = f" in {'an' if face.cloth_name == 'orange' else 'a'} {face.cloth_name} {face.clothes}" if rng.random() < 0.6 else ""
    return f"a {face.gender} with {listed}{clothing}"
