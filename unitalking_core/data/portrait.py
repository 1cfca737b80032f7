"""The still parts of a drawn portrait, as layers: back hair, body, face, and what lies in front of the face (hair, glasses).

Notation: head units of `faces.py`; each layer is premultiplied float32 (S, S, 4) over [-EXTENT, EXTENT]. Eyes and mouth are not here:
they move, and `render.py` draws them anew in every frame. One hand-drawn look: flat colours, soft warm shadows, one light from a side.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from .faces import Face
from .hair import paint_back_hair, paint_front_hair
from .paint import Canvas, Point, darker, ellipse, lighter, mirror, mix, smooth

EXTENT = 1.2


@dataclass(frozen=True)
class Layers:
    """The four still layers, back to front, each float32 (S, S, 4)."""

    back: np.ndarray
    body: np.ndarray
    face: np.ndarray
    front: np.ndarray


def face_outline(face: Face) -> list[Point]:
    """The contour of the head without ears and hair."""
    w, jaw = face.face_width, face.face_width * face.jaw_width
    return mirror(
        [
            (0.0, -0.57),
            (0.34 * w, -0.552),
            (0.66 * w, -0.485),
            (0.90 * w, -0.345),
            (0.995 * w, -0.16),
            (1.0 * w, 0.02),
            (0.945 * w, 0.18),
            (0.93 * jaw, 0.325),
            (0.50 * jaw + 0.42 * face.chin * w, 0.445),
            (face.chin * w * 0.86, 0.515),
            (0.0, 0.542),
        ]
    )


def _body(canvas: Canvas, face: Face) -> None:
    skin, cloth = face.skin, face.cloth
    neck = 0.175 if face.gender == "woman" else 0.215
    shoulder = 0.66 if face.gender == "woman" else 0.78
    canvas.fill(mirror([(0.0, 0.25), (neck, 0.25), (neck, 0.55), (neck + 0.02, 0.68), (neck + 0.14, 0.78), (0.2, 1.0), (0.0, 1.02)]), skin)
    canvas.fill(ellipse(-0.05 * face.light, 0.46, 0.30, 0.16), darker(skin, 0.75), 0.75, 0.03, inside=True)
    for side in (-1, 1):
        collar_bone = smooth([(side * 0.05, 0.80), (side * 0.13, 0.775), (side * 0.26, 0.76)], closed=False)
        canvas.lines([collar_bone], darker(skin, 0.5), 0.012, 0.45, 0.006, inside=True)
    depth = {"t-shirt": 0.78, "v-neck": 0.74, "shirt": 0.72, "jacket": 0.74, "turtleneck": 0.60}[face.clothes]
    base = neck + 0.055
    torso = [(base, 0.665), (base + 0.2, 0.725), (shoulder - 0.08, 0.80), (shoulder + 0.05, 0.93), (shoulder + 0.10, 1.25)]
    middle: list[Point] = [(0.0, depth)] if face.clothes != "t-shirt" else [(0.0, 0.80), (0.12, 0.775)]
    if face.clothes in ("v-neck", "jacket", "shirt"):
        middle = [(0.0, 0.96 if face.clothes != "shirt" else 0.86)]
    right = middle + torso
    polygon = np.concatenate([np.asarray(right), np.asarray([(-x, y) for x, y in reversed(right) if x > 0])])
    top = smooth([*torso[::-1], *middle[::-1]], closed=False) if face.clothes == "t-shirt" else None
    if top is not None:
        polygon = np.concatenate([top[::-1], (top * (-1, 1))])
    inner = mix(cloth, (0.95, 0.94, 0.92), 0.85) if face.cloth_name != "white" else (0.35, 0.42, 0.52)
    if face.clothes == "jacket":
        canvas.fill(
            mirror([(0.0, 0.79), (0.13, 0.765), (0.24, 0.68), (0.4, 0.9), (0.4, 1.25), (0.0, 1.25)]), inner, bottom=darker(inner, 0.2)
        )
    canvas.fill(polygon, lighter(cloth, 0.08), bottom=darker(cloth, 0.25))
    if face.clothes == "turtleneck":
        canvas.fill(mirror([(0.0, 0.555), (neck + 0.01, 0.54), (neck + 0.035, 0.62), (neck + 0.05, 0.72), (0.0, 0.77)]), cloth)
        canvas.fill(ellipse(0.0, 0.50, 0.30, 0.085), darker(cloth, 0.9), 0.7, 0.02, inside=True)
        for shift in (0.63, 0.70):
            fold = smooth([(-neck - 0.03, shift - 0.02), (0, shift + 0.03), (neck + 0.03, shift - 0.02)], closed=False)
            canvas.lines([fold], darker(cloth, 0.6), 0.009, 0.5, 0.004, inside=True)
    if face.clothes == "shirt":
        for side in (-1, 1):
            flap = np.asarray([(side * (neck - 0.01), 0.60), (side * (base + 0.05), 0.68), (side * 0.17, 0.90), (0.0, 0.845)])
            canvas.fill(flap + np.asarray((0.0, 0.02)), darker(cloth, 0.8), 0.35, 0.015, inside=True)
            canvas.fill(flap, lighter(cloth, 0.22), bottom=cloth)
        canvas.lines([np.asarray([(0.0, 0.86), (0.0, 1.25)])], darker(cloth, 0.6), 0.008, 0.6)
        canvas.fill(ellipse(0.0, 0.97, 0.014, 0.014), lighter(cloth, 0.5))
    if face.clothes == "jacket":
        for side in (-1, 1):
            lapel = np.asarray([(side * (base - 0.02), 0.655), (side * (base + 0.10), 0.74), (side * 0.26, 0.88), (side * 0.02, 1.10)])
            canvas.fill(lapel, darker(cloth, 0.35), bottom=darker(cloth, 0.2))
    if face.clothes in ("t-shirt", "v-neck"):
        edge = top if top is not None else np.asarray(right)
        edge = edge[-20:] if top is not None else edge[:2]
        canvas.lines([edge, edge * (-1, 1)], darker(cloth, 0.5), 0.018, 0.55, inside=True)
    for side in (-1, 1):
        fold = smooth([(side * (shoulder - 0.22), 1.25), (side * (shoulder - 0.20), 1.05), (side * (shoulder - 0.13), 0.92)], closed=False)
        canvas.lines([fold], darker(cloth, 0.8), 0.016, 0.4, 0.012, inside=True)
    canvas.shade_outside(ellipse(face.light * 0.25, 0.95, 0.95, 0.75), darker(cloth, 1.0), 0.35, 0.14)


def _beard(canvas: Canvas, face: Face) -> None:
    colour = darker(face.hair, 0.25)
    w, jaw, m = face.face_width, face.face_width * face.jaw_width, face.mouth_y
    if face.beard in ("stubble", "beard"):
        full = face.beard == "beard"
        right = [(0.0, m - 0.075), (0.10, m - 0.082), (0.17, m - 0.01), (0.24, m - 0.005), (0.30, 0.16), (0.965 * w, -0.04)]
        right += [(1.01 * w, 0.02), (0.965 * w, 0.18), (0.95 * jaw + 0.01, 0.335), (0.55 * jaw + 0.4 * face.chin * w, 0.465)]
        right += [(face.chin * w, 0.56 if full else 0.53), (0.0, 0.585 if full else 0.545)]
        canvas.fill(mirror(right), colour, 0.94 if full else 0.30, 0.010 if full else 0.022, inside=not full)
        if full:
            canvas.fill(ellipse(face.light * 0.12, 0.47, 0.20, 0.06), lighter(colour, 0.3), 0.30, 0.04, inside=True)
            canvas.fill(ellipse(0.0, m + 0.075, 0.09, 0.022), mix(colour, face.skin, 0.6), 0.5, 0.012, inside=True)
    if face.beard in ("moustache", "goatee"):
        half = [(0.0, m - 0.078), (0.06, m - 0.080), (0.125, m - 0.035), (0.150, m + 0.02), (0.11, m - 0.005), (0.0, m - 0.02)]
        canvas.fill(mirror(half), colour, 0.95, 0.005)
    if face.beard == "goatee":
        canvas.fill(mirror([(0.0, m + 0.08), (0.07, m + 0.085), (0.115, m + 0.15), (0.09, 0.52), (0.0, 0.565)]), colour, 0.93, 0.008)
        for side in (-1, 1):
            canvas.lines(
                [smooth([(side * 0.145, m + 0.005), (side * 0.15, m + 0.07), (side * 0.105, m + 0.15)], closed=False)],
                colour,
                0.03,
                0.9,
                0.006,
            )


def _face(canvas: Canvas, face: Face) -> None:
    skin, w = face.skin, face.face_width
    shadow, glow = darker(skin, 0.55), lighter(skin, 0.35)
    for side in (-1, 1):
        lit = side * face.light > 0
        canvas.fill(ellipse(side * (w + 0.012), 0.02, 0.058, 0.105, side * 0.12), skin if lit else darker(skin, 0.18))
        canvas.fill(ellipse(side * (w + 0.016), 0.02, 0.030, 0.066, side * 0.12), shadow, 0.55, 0.010, inside=True)
        if face.earrings:
            canvas.fill(ellipse(side * (w + 0.018), 0.135, 0.020, 0.020), (0.93, 0.78, 0.42))
            canvas.fill(ellipse(side * (w + 0.012), 0.129, 0.007, 0.007), (1.0, 0.96, 0.84))
    outline = face_outline(face)
    canvas.fill(outline, skin)
    canvas.shade_outside(smooth(outline) * (0.96, 0.98) + (0.085 * face.light, -0.02), shadow, 0.55, 0.07)
    canvas.fill(ellipse(0.17 * face.light, -0.34, 0.19, 0.10), glow, 0.40, 0.06, inside=True)
    canvas.fill(ellipse(0.0, 0.475, 0.10, 0.035), glow, 0.28, 0.025, inside=True)
    rosy = mix(skin, (0.90, 0.32, 0.30), 0.55)
    for side in (-1, 1):
        canvas.fill(ellipse(side * 0.235, 0.13, 0.105, 0.075), rosy, face.blush, 0.04, inside=True)
        shine = 0.45 if side * face.light > 0 else 0.15
        canvas.fill(ellipse(side * 0.225, 0.065, 0.075, 0.028, -side * 0.25), glow, shine, 0.025, inside=True)
        x = side * face.eye_gap
        canvas.fill(ellipse(x, -0.085, 0.105, 0.062), shadow, 0.30, 0.025, inside=True)
        canvas.fill(ellipse(x, 0.022, 0.075, 0.018), shadow, 0.16, 0.016, inside=True)
    if face.freckles:
        rng = random.Random(face.seed)
        for _ in range(26):
            x, y = rng.gauss(0, 0.17), rng.gauss(0.09, 0.04)
            canvas.fill(ellipse(x, y, 0.006, 0.006), darker(skin, 0.8), 0.55, inside=True)
    _nose(canvas, face)
    _beard(canvas, face)
    brow = mix(darker(face.hair, 0.3), (0.2, 0.14, 0.1), 0.35)
    for side in (-1, 1):
        inner, outer = face.eye_gap - 0.075, face.eye_gap + 0.10
        y, t, tilt = -0.06 - face.brow_height, face.brow_thickness, face.brow_tilt * 0.3
        top = [(inner, y - 0.012 - t * 0.9 + tilt), (face.eye_gap + 0.03, y - 0.024 - t), (outer, y + 0.010)]
        low = [(face.eye_gap + 0.03, y - 0.020 + t * 0.7), (inner + 0.002, y - 0.012 + t * 1.0 + tilt)]
        canvas.fill([(side * px, py) for px, py in top + low], brow, 0.93, 0.002)


def _nose(canvas: Canvas, face: Face) -> None:
    skin, nw = face.skin, face.nose_width
    tip = face.nose_length + 0.005
    shadow = darker(skin, 0.55)
    bridge = [
        (-0.028 * face.light, -0.10),
        (-0.040 * face.light, 0.03),
        (-(nw + 0.008) * face.light, tip - 0.02),
        (-0.015 * face.light, tip + 0.01),
    ]
    canvas.fill(bridge, shadow, 0.42, 0.016, inside=True)
    canvas.fill(ellipse(0.010 * face.light, 0.02, 0.013, 0.10), lighter(skin, 0.45), 0.45, 0.012, inside=True)
    canvas.fill(ellipse(0.010 * face.light, tip - 0.02, 0.026, 0.020), lighter(skin, 0.55), 0.55, 0.010, inside=True)
    canvas.fill(ellipse(0.0, tip + 0.032, nw * 0.9, 0.018), shadow, 0.45, 0.012, inside=True)
    for side in (-1, 1):
        wing = smooth([(side * nw * 0.80, tip - 0.032), (side * nw * 1.05, tip - 0.006), (side * nw * 0.82, tip + 0.018)], closed=False)
        canvas.lines([wing], darker(skin, 0.7), 0.008, 0.55, 0.003, inside=True)
        canvas.fill(ellipse(side * nw * 0.50, tip + 0.014, 0.017, 0.0085, side * 0.25), darker(skin, 1.0), 0.85, 0.003, inside=True)


def _glasses(canvas: Canvas, face: Face) -> None:
    colour, gap = face.glasses_colour, face.eye_gap
    rx, ry = (0.118, 0.108) if face.glasses == "round" else (0.128, 0.092)
    for side in (-1, 1):
        x, y = side * gap, -0.05
        if face.glasses == "round":
            rim = ellipse(x, y, rx, ry)
        else:
            angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
            power = 0.5
            rim = np.stack(
                [
                    x + rx * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power,
                    y + ry * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power,
                ],
                1,
            )
        canvas.fill(rim, (0.9, 0.95, 1.0), 0.10)
        glint = np.asarray([(x - 0.07, y + 0.05), (x + 0.01, y - 0.075), (x + 0.04, y - 0.075), (x - 0.04, y + 0.05)])
        canvas.fill(glint, (1.0, 1.0, 1.0), 0.10, 0.006)
        closed = np.concatenate([rim, rim[:2]])
        canvas.lines([closed], colour, 0.017, 0.96)
        canvas.lines([np.asarray([(x + side * rx * 0.98, y - 0.02), (side * (face.face_width + 0.01), y - 0.025)])], colour, 0.016, 0.96)
    canvas.lines([smooth([(-gap + rx * 0.97, -0.065), (0.0, -0.082), (gap - rx * 0.97, -0.065)], closed=False)], colour, 0.015, 0.96)


def paint_layers(face: Face, size: int) -> Layers:
    """All still layers of `face` at `size` x `size` pixels each."""
    back, body, skin, front = (Canvas(size, EXTENT) for _ in range(4))
    paint_back_hair(back, face)
    _body(body, face)
    _face(skin, face)
    # Hair throws a soft shadow on the forehead before it is laid over it.
    paint_front_hair(skin, front, face, face_outline(face))
    if face.glasses != "none":
        _glasses(front, face)
    return Layers(back.pixels, body.pixels, skin.pixels, front.pixels)
