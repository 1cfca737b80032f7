"""Backgrounds of the drawn portraits: soft, out-of-focus rooms and patterns that leave the face the brightest thing.

Notation: the canvas covers the picture, [-1, 1] x [-1, 1].
"""

from __future__ import annotations

import colorsys
import random

import numpy as np

from .faces import Face
from .paint import Canvas, darker, ellipse, lighter


def _rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.asarray([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def paint_backdrop(face: Face, size: int) -> np.ndarray:
    """The background of `face`: float32 (size, size, 3)."""
    canvas = Canvas(size, 1.0)
    rng = random.Random(f"backdrop {face.seed}")
    base = colorsys.hls_to_rgb(face.background_hue, 0.22 + 0.52 * face.background_value, 0.32)
    second = colorsys.hls_to_rgb((face.background_hue + rng.choice((0.08, -0.08, 0.45))) % 1.0, 0.25 + 0.5 * face.background_value, 0.38)
    canvas.fill(_rectangle(-1.1, -1.1, 1.1, 1.1), lighter(base, 0.12), bottom=darker(base, 0.30))
    if face.background == "window":
        x = -face.light * -0.55
        canvas.fill(_rectangle(x - 0.36, -0.86, x + 0.36, 0.25), (0.86, 0.93, 0.97), 0.95, 0.015, bottom=(0.97, 0.93, 0.84))
        canvas.fill(ellipse(x, 0.22, 0.36, 0.14), (0.55, 0.68, 0.50), 0.6, 0.03)
        canvas.lines(
            [np.asarray([(x, -0.86), (x, 0.25)]), np.asarray([(x - 0.36, -0.3), (x + 0.36, -0.3)])], lighter(base, 0.5), 0.035, 1.0, 0.008
        )
        canvas.lines([_rectangle(x - 0.37, -0.87, x + 0.37, 0.26)[[0, 1, 2, 3, 0]]], lighter(base, 0.6), 0.05, 1.0, 0.008)
    elif face.background == "bokeh":
        for _ in range(14):
            radius = rng.uniform(0.07, 0.20)
            spot = ellipse(rng.uniform(-1, 1), rng.uniform(-1, 0.8), radius, radius)
            canvas.fill(spot, lighter(rng.choice((second, base)), rng.uniform(0.25, 0.6)), rng.uniform(0.2, 0.5), 0.012)
    elif face.background == "sunburst":
        canvas.fill(ellipse(0.0, -0.1, 0.86, 0.86), lighter(second, 0.25), 0.75)
        canvas.fill(ellipse(0.0, -0.1, 0.72, 0.72), lighter(second, 0.40), 0.6, 0.05)
    elif face.background == "stripes":
        lean = rng.uniform(-0.3, 0.3)
        for start in np.arange(-1.4, 1.4, 0.36):
            canvas.fill(
                np.asarray([(start, -1.1), (start + 0.16, -1.1), (start + 0.16 + lean, 1.1), (start + lean, 1.1)]),
                lighter(base, 0.35),
                0.38,
                0.004,
            )
    elif face.background == "shelf":
        for row in (-0.62, 0.02):
            x = -1.0
            while x < 1.0:
                wide, tall = rng.uniform(0.05, 0.11), rng.uniform(0.26, 0.44)
                tone = colorsys.hls_to_rgb((face.background_hue + rng.uniform(-0.15, 0.15)) % 1.0, rng.uniform(0.3, 0.65), 0.35)
                if rng.random() < 0.86:
                    canvas.fill(_rectangle(x, row - tall, x + wide, row), tone, 0.75, 0.014)
                x += wide + 0.012
            canvas.fill(_rectangle(-1.1, row, 1.1, row + 0.055), darker(base, 0.55), 0.9, 0.012)
    else:
        canvas.fill(ellipse(0.55 * face.light, -0.55, 0.8, 0.7), lighter(base, 0.5), 0.5, 0.25)
    canvas.fill(ellipse(0.0, -0.1, 0.75, 0.85), lighter(base, 0.5), 0.16, 0.2)
    return np.ascontiguousarray(canvas.pixels[..., :3])
