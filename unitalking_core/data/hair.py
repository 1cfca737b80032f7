"""The hair of a drawn portrait: a shape behind the head, and a cap in front of it that leaves the face free.

Notation: head units. The cap is the band between an outer contour (the silhouette) and an inner one (the hair line), both running from
the viewer's left to the right; strands are curves that blend from one to the other, so they always follow the style.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from .faces import Face
from .paint import Canvas, Point, darker, ellipse, lighter, mirror, smooth


@dataclass(frozen=True)
class Cap:
    """`outer` and `inner` contours, left to right, and how far down the hair hangs at the sides."""

    outer: list[Point]
    inner: list[Point]


LONG = ("long", "wavy", "shoulder", "bob")
CURLY = ("curly", "curly top")


def _hairline(face: Face) -> list[Point]:
    """The upper edge of the free forehead, left to right, between the temples."""
    w, part = face.face_width, face.parting
    if face.gender == "woman" and face.fringe == "full" and face.hair_style not in ("bun", "ponytail"):
        return [(-0.90 * w, -0.12), (-0.62 * w, -0.185), (-0.2 * w, -0.205), (0.2 * w, -0.205), (0.62 * w, -0.185), (0.90 * w, -0.12)]
    if face.hair_style in LONG or (face.fringe == "swept" and face.gender == "woman"):
        line = [
            (-0.92 * w, -0.10),
            (-0.80 * w, -0.25),
            (part - 0.13, -0.385),
            (part, -0.47),
            (part + 0.13, -0.385),
            (0.80 * w, -0.25),
            (0.92 * w, -0.10),
        ]
        if face.fringe == "swept":
            far = -np.sign(part)
            line = sorted(
                [p for p in line if p[0] * far < 0.2 * w or abs(p[0]) > 0.85 * w] + [(far * 0.30 * w, -0.34), (far * 0.72 * w, -0.20)]
            )
        return line
    high = -0.40 if face.gender == "man" else -0.39
    return [
        (-0.93 * w, -0.14),
        (-0.84 * w, -0.27),
        (-0.62 * w, high + 0.01),
        (0.0, high - 0.035),
        (0.62 * w, high + 0.01),
        (0.84 * w, -0.27),
        (0.93 * w, -0.14),
    ]


def _cap(face: Face) -> Cap:
    w, style = face.face_width, face.hair_style
    side = np.sign(face.parting)
    line = _hairline(face)
    if style in LONG:
        low = {"long": 0.80, "wavy": 0.84, "shoulder": 0.52, "bob": 0.40}[style]
        flare = {"long": 0.10, "wavy": 0.15, "shoulder": 0.10, "bob": 0.13}[style]
        edge = [(w + flare, low * 0.6), (w + 0.09, 0.05), (0.99 * w + 0.055, -0.27), (0.72 * w, -0.56)]
        outer = [(-w - flare * 0.7, low), *[(-x, y) for x, y in edge], (0.0, -0.675), *edge[::-1], (w + flare * 0.7, low)]
        tuck = 0.90 * w if style != "bob" else 0.86 * w
        inner = [(-tuck, low), (-0.93 * w, 0.22), *line, (0.93 * w, 0.22), (tuck, low)]
        return Cap(outer, inner)
    if style in ("bun", "ponytail", "pixie") or (style in CURLY and face.gender == "woman"):
        drop = 0.12 if style == "pixie" else 0.02
        outer = [(-1.035 * w, drop), (-1.06 * w, -0.18), (-0.98 * w, -0.40), (-0.62 * w, -0.595), (0.0, -0.65)]
        outer += [(-x, y) for x, y in outer[-2::-1]]
        return Cap(outer, [(-0.95 * w, drop), *line, (0.95 * w, drop)])
    top = {"short": -0.635, "side part": -0.66, "quiff": -0.72, "curly top": -0.67, "buzz": -0.595}[style]
    lean = 0.16 * side if style in ("quiff", "side part") else 0.0
    grow = 0.98 if style == "buzz" else 1.03
    outer = [(-1.0 * w, 0.03), (-grow * 1.01 * w, -0.17), (-grow * 0.95 * w, -0.38), (-0.68 * w, top + (0.10 if style != "buzz" else 0.06))]
    outer += [(lean, top), *[(-x, y) for x, y in outer[::-1]]]
    if style == "quiff":
        line = [(x, y - 0.03 - 0.05 * max(0.0, 1 - abs(x - 0.1 * side) / 0.25)) for x, y in line]
    if style == "side part":
        line = [(x, y + (0.05 if x * side < 0 else -0.02) * max(0.0, 1 - abs(x) / w)) for x, y in line]
    return Cap(outer, [(-0.955 * w, 0.03), *line, (0.955 * w, 0.03)])


def _curls(face: Face, centres: list[Point], radius: float, count: int) -> list[np.ndarray]:
    rng = random.Random(f"curls {face.seed}")
    curve = smooth(centres, closed=False)
    picked = curve[np.linspace(0, len(curve) - 1, count).astype(int)]
    return [
        ellipse(x + rng.uniform(-0.02, 0.02), y + rng.uniform(-0.02, 0.02), radius * rng.uniform(0.8, 1.2), radius * rng.uniform(0.8, 1.2))
        for x, y in picked
    ]


def paint_back_hair(canvas: Canvas, face: Face) -> None:
    """Hair behind head and shoulders."""
    w, style = face.face_width, face.hair_style
    colour, deep = darker(face.hair, 0.30), darker(face.hair, 0.55)
    if style in LONG:
        low = {"long": 0.93, "wavy": 0.97, "shoulder": 0.60, "bob": 0.46}[style]
        canvas.fill(
            mirror([(0.0, -0.64), (0.8 * w, -0.52), (w + 0.10, -0.1), (w + 0.13, 0.3), (w + 0.11, low), (0.5 * w, low + 0.04), (0.0, low)]),
            colour,
            bottom=deep,
        )
        if style == "wavy":
            side = [(w + 0.10, -0.2), (w + 0.14, 0.1), (w + 0.15, 0.4), (w + 0.13, 0.7), (w + 0.05, 0.93)]
            for polygon in _curls(face, side, 0.062, 15):
                canvas.fill(polygon, colour)
                canvas.fill(polygon * (-1, 1), colour)
    elif style == "ponytail":
        side = np.sign(face.parting)
        tail = [
            (0.30, -0.45),
            (w + 0.16, -0.40),
            (w + 0.24, -0.05),
            (w + 0.20, 0.40),
            (w + 0.10, 0.70),
            (w + 0.06, 0.40),
            (w + 0.06, 0.0),
            (w - 0.05, -0.3),
        ]
        canvas.fill([(side * x, y) for x, y in tail], colour, bottom=deep)
    elif style == "bun":
        canvas.fill(ellipse(0.0, -0.72, 0.175, 0.15), colour)
        for scale in (0.75, 0.45):
            canvas.lines([ellipse(0.0, -0.70, 0.175 * scale, 0.15 * scale)[18:40]], deep, 0.010, 0.6)
    elif style == "curly":
        rim = [
            (-w - 0.03, 0.50),
            (-w - 0.15, 0.2),
            (-w - 0.15, -0.2),
            (-0.72 * w, -0.62),
            (0.0, -0.76),
            (0.72 * w, -0.62),
            (w + 0.15, -0.2),
            (w + 0.15, 0.2),
            (w + 0.03, 0.50),
        ]
        canvas.fill(mirror([(0.0, -0.75), (0.75 * w, -0.62), (w + 0.15, -0.2), (w + 0.15, 0.2), (w, 0.5), (0.0, 0.5)]), colour)
        for polygon in _curls(face, rim, 0.105, 26):
            canvas.fill(polygon, colour)
            canvas.fill(polygon * 0.985, lighter(face.hair, 0.06), 0.5, 0.03, inside=True)


def _strands(cap: Cap, rng: random.Random, count: int, steps: int = 6) -> list[np.ndarray]:
    outer, inner = smooth(cap.outer, False, steps), smooth(cap.inner, False, steps)
    grid = np.linspace(0, 1, 60)

    def resample(curve: np.ndarray) -> np.ndarray:
        length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
        return np.stack([np.interp(grid * length[-1], length, curve[:, axis]) for axis in (0, 1)], 1)

    outer, inner = resample(outer), resample(inner)
    paths = []
    for _ in range(count):
        share = rng.uniform(0.05, 0.97)
        start = rng.randrange(0, 46)
        stop = min(60, start + rng.randrange(10, 30))
        paths.append((outer * (1 - share) + inner * share)[start:stop])
    return paths


def paint_front_hair(skin: Canvas, canvas: Canvas, face: Face, head: list[Point]) -> None:
    """Hair in front of the head on `canvas`, and its shadow on the forehead on the `skin` layer."""
    colour, style = face.hair, face.hair_style
    if style == "bald":
        skin.fill(ellipse(0.14 * face.light, -0.46, 0.13, 0.045, 0.35 * face.light), lighter(face.skin, 0.6), 0.5, 0.03, inside=True)
        return
    rng = random.Random(f"strands {face.seed}")
    cap = _cap(face)
    outer, inner = smooth(cap.outer, False), smooth(cap.inner, False)
    polygon = np.concatenate([outer, inner[::-1]])
    if style == "buzz":
        skin.fill(polygon, darker(colour, 0.15), 0.72, 0.014, inside=True)
        return
    skin.fill(polygon + np.asarray((-0.012 * face.light, 0.035)), darker(face.skin, 0.9), 0.42, 0.022, inside=True)
    if style in CURLY:
        top = cap.outer if style == "curly top" else [(x, y) for x, y in cap.outer if y < 0.0]
        canvas.fill(polygon, darker(colour, 0.12))
        band = [
            (0.5 * (a + b), 0.5 * (c + d))
            for (a, c), (b, d) in zip(outer[:: len(outer) // 12], inner[:: max(1, len(inner) // 12)], strict=False)
        ]
        for outlines, tone in (
            (_curls(face, [p for p in top if p[1] < -0.1], 0.085, 15), darker(colour, 0.12)),
            (_curls(face, [p for p in band if p[1] < -0.22], 0.07, 13), colour),
        ):
            for curl in outlines:
                canvas.fill(curl, tone)
        for outlines in (
            _curls(face, [p for p in top if p[1] < -0.1], 0.045, 17),
            _curls(face, [p for p in band if p[1] < -0.22], 0.04, 15),
        ):
            canvas.lines([curl[22:38] for curl in outlines], lighter(colour, 0.30), 0.012, 0.45, 0.003, inside=True)
            canvas.lines([curl[2:18] for curl in outlines], darker(colour, 0.7), 0.010, 0.4, 0.003, inside=True)
        return
    canvas.fill(polygon, lighter(colour, 0.05), bottom=darker(colour, 0.12))
    canvas.lines(_strands(cap, rng, 26), darker(colour, 0.75), 0.010, 0.34, 0.002, inside=True)
    canvas.lines(_strands(cap, rng, 18), lighter(colour, 0.45), 0.008, 0.30, 0.002, inside=True)
    glow = smooth(
        [
            (-0.8 * face.face_width, -0.38),
            (-0.3 * face.face_width, -0.53),
            (0.3 * face.face_width, -0.53),
            (0.8 * face.face_width, -0.38),
        ],
        False,
    )
    canvas.lines([glow], lighter(colour, 0.6), 0.05, 0.30, 0.028, inside=True)
    canvas.shade_outside(smooth(head) * (1.35, 1.35) + (0.30 * face.light, -0.05), darker(colour, 0.9), 0.45, 0.12)
    edge = smooth(cap.inner, False)
    canvas.lines([edge], darker(colour, 0.8), 0.010, 0.35, 0.004, inside=True)
