"""A small painter for portraits: smooth closed outlines, soft shadows, layers with transparency, at any resolution.

Notation: a canvas covers [-E, E] x [-E, E] of the drawing's own units with S x S pixels; y grows downwards. Colours are sRGB in 0..1.
A layer is premultiplied float32 (S, S, 4). Outlines are lists of (x, y); they are drawn through smooth closed curves. Edges are
antialiased by coverage (each pixel is divided 4 x 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Point = tuple[float, float]
Colour = tuple[float, float, float]
OVERSAMPLE = 4


def smooth(points: Sequence[Point], closed: bool = True, steps: int = 8) -> np.ndarray:
    """The Catmull-Rom curve through `points`: float (M, 2)."""
    p = np.asarray(points, np.float64)
    if closed:
        before, after, then = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    else:
        padded = np.concatenate([p[:1], p, p[-1:]])
        before, p, after, then = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = before[:, None], p[:, None], after[:, None], then[:, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, np.asarray(points[-1:], np.float64)])


def mirror(half: Sequence[Point]) -> list[Point]:
    """A symmetric closed outline from its right half, listed from top to bottom."""
    return list(half) + [(-x, y) for x, y in reversed(half) if abs(x) > 1e-9]


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> np.ndarray:
    """An ellipse as a polygon, float (40, 2), turned by `turn` radians."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    px, py = rx * np.cos(angle), ry * np.sin(angle)
    return np.stack([x + px * np.cos(turn) - py * np.sin(turn), y + px * np.sin(turn) + py * np.cos(turn)], axis=1)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`share` of `b` in `a`."""
    return tuple(p + (q - p) * share for p, q in zip(a, b, strict=True))  # type: ignore[return-value]


def darker(colour: Colour, share: float) -> Colour:
    """A warm shadow of a colour: red fades last, as on skin."""
    return mix(colour, (colour[0] * 0.42, colour[1] * 0.26, colour[2] * 0.27), share)


def lighter(colour: Colour, share: float) -> Colour:
    """`share` of a warm white in a colour."""
    return mix(colour, (1.0, 0.98, 0.94), share)


class Canvas:
    """One layer being painted."""

    def __init__(self, size: int, extent: float) -> None:
        self.size, self.extent = size, extent
        self.pixels = np.zeros((size, size, 4), np.float32)

    def _box(self, points: np.ndarray, margin: float) -> tuple[int, int, int, int] | None:
        per_unit = self.size / (2 * self.extent)
        low = np.floor((points.min(0) - margin + self.extent) * per_unit).astype(int) - 1
        high = np.ceil((points.max(0) + margin + self.extent) * per_unit).astype(int) + 1
        x0, y0 = np.clip(low, 0, self.size)
        x1, y1 = np.clip(high, 0, self.size)
        return (int(x0), int(y0), int(x1), int(y1)) if x1 > x0 and y1 > y0 else None

    def coverage(
        self, outlines: Sequence[np.ndarray], blur: float = 0.0, width: float | None = None
    ) -> tuple[np.ndarray, tuple[int, int, int, int]] | None:
        """Coverage 0..1 of polygons (or of open lines `width` thick) inside their box of pixels (x0, y0, x1, y1); None off the canvas."""
        box = self._box(np.concatenate(outlines), 2.5 * blur + (width or 0.0))
        if box is None:
            return None
        x0, y0, x1, y1 = box
        per_unit = self.size / (2 * self.extent)
        image = Image.new("L", ((x1 - x0) * OVERSAMPLE, (y1 - y0) * OVERSAMPLE))
        draw = ImageDraw.Draw(image)
        for outline in outlines:
            at = (((outline + self.extent) * per_unit - (x0, y0)) * OVERSAMPLE).round().astype(int)
            path = [tuple(point) for point in at.tolist()]
            if width is None:
                draw.polygon(path, fill=255)
            else:
                draw.line(path, fill=255, width=max(1, round(width * per_unit * OVERSAMPLE)), joint="curve")
        image = image.reduce(OVERSAMPLE)
        if blur > 0:
            image = image.filter(ImageFilter.GaussianBlur(blur * per_unit))
        return np.asarray(image, np.float32) / 255.0, box

    def _paint(self, mask: np.ndarray, box: tuple[int, int, int, int], colour: np.ndarray | Colour, opacity: float, inside: bool) -> None:
        x0, y0, x1, y1 = box
        under = self.pixels[y0:y1, x0:x1]
        alpha = (mask * opacity)[..., None]
        if inside:
            alpha = alpha * under[..., 3:]
        under[..., :3] = np.asarray(colour, np.float32) * alpha + under[..., :3] * (1 - alpha)
        if not inside:
            under[..., 3:] = alpha + under[..., 3:] * (1 - alpha)

    def fill(
        self,
        outline: Sequence[Point] | np.ndarray,
        colour: Colour,
        opacity: float = 1.0,
        blur: float = 0.0,
        inside: bool = False,
        bottom: Colour | None = None,
    ) -> None:
        """Fill a smooth closed outline (an array is taken as a ready polygon). `inside` paints only where the layer is already opaque;
        `bottom` makes a vertical gradient from `colour` to it."""
        polygon = outline if isinstance(outline, np.ndarray) else smooth(outline)
        found = self.coverage([polygon], blur)
        if found is None:
            return
        mask, box = found
        paint: np.ndarray | Colour = colour
        if bottom is not None:
            rows = np.linspace(0, 1, mask.shape[0], dtype=np.float32)[:, None, None]
            paint = np.asarray(colour, np.float32) * (1 - rows) + np.asarray(bottom, np.float32) * rows
        self._paint(mask, box, paint, opacity, inside)

    def lines(
        self, paths: Sequence[np.ndarray], colour: Colour, width: float, opacity: float = 1.0, blur: float = 0.0, inside: bool = False
    ) -> None:
        """Draw open lines `width` units thick."""
        found = self.coverage(paths, blur, width) if paths else None
        if found is not None:
            self._paint(*found, colour, opacity, inside)

    def shade_outside(self, outline: Sequence[Point] | np.ndarray, colour: Colour, opacity: float, blur: float) -> None:
        """Darken what the layer already holds, except inside a soft outline: an inner shadow."""
        polygon = outline if isinstance(outline, np.ndarray) else smooth(outline)
        found = self.coverage([polygon], blur)
        mask = np.ones((self.size, self.size), np.float32)
        if found is not None:
            inner, (x0, y0, x1, y1) = found
            mask[y0:y1, x0:x1] -= inner
        self._paint(mask, (0, 0, self.size, self.size), colour, opacity, inside=True)
