"""Frames of a talking portrait: still layers moved with the head, eyes and mouth drawn anew in each frame.

Notation: F frames of H x H pixels. Picture coordinates run over [-1, 1], head units (u, v) are those of `faces.py`. For every pixel of
every frame the inverse motion gives its (u, v); the layers are sampled there and the moving features are signed-distance shapes of (u, v),
antialiased over one pixel. A turn of the head is a bulge: the middle of the face shifts more than its rim. An open jaw stretches the chin.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn.functional import grid_sample

from .backdrop import paint_backdrop
from .faces import Face
from .paint import Colour, darker, lighter, mix
from .portrait import EXTENT, Layers, paint_layers

LAYER_SCALE = 2.0
JAW_DROP = 0.055
MOUTH_BOX = (-0.26, 0.26, -0.14, 0.24)
EYE_BOX = (-0.13, 0.13, -0.115, 0.085)


@dataclass(frozen=True)
class Motion:
    """Head and eyes over F frames, each float32 (F,): x, y shift, roll (radians), yaw (shift of the middle), blink 0..1, gaze."""

    x: np.ndarray
    y: np.ndarray
    roll: np.ndarray
    yaw: np.ndarray
    blink: np.ndarray
    gaze: np.ndarray


def still(frames: int) -> Motion:
    """No motion at all, eyes open."""
    zero = np.zeros(frames, np.float32)
    return Motion(zero, zero, zero, zero, zero, zero)


def sample_motion(seed: int, frames: int, fps: float) -> Motion:
    """Slight slow head motion and blinks, from a seed. The first 0.2 s have open eyes: they are the portrait."""
    rng = random.Random(f"motion {seed}")
    time = np.arange(frames) / fps

    def sway(amplitude: float) -> np.ndarray:
        waves = [rng.uniform(0.4, 1.0) * np.sin(2 * np.pi * (rng.uniform(0.15, 0.75) * time + rng.random())) for _ in range(3)]
        return (amplitude * np.sum(waves, axis=0) / 1.7).astype(np.float32)

    blink = np.zeros(frames, np.float32)
    at = rng.uniform(0.25, 2.6)
    while at < frames / fps:
        away = (time - at) * fps
        # Lids fall faster than they rise.
        blink = np.maximum(blink, np.clip(np.where(away < 0, 1 + away / 2.2, 1.25 - away / 3.2), 0.0, 1.0) * (time > 0.2)).astype(
            np.float32
        )
        at += rng.uniform(1.2, 3.5)
    return Motion(sway(0.010), sway(0.007), sway(0.016), sway(0.018), blink, sway(0.35))


@lru_cache(maxsize=4)
def _prepared(face: Face, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    layers: Layers = paint_layers(face, round(height * LAYER_SCALE))
    stacked = np.stack([layers.back, layers.body, layers.face, layers.front]).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(stacked)), torch.from_numpy(paint_backdrop(face, height))


def _head_coordinates(face: Face, motion: Motion, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(u, v), each float32 (F, H, H): where in head units each pixel of each frame lies."""
    axis = (torch.arange(height, dtype=torch.float32) + 0.5) * (2 / height) - 1
    x, y, roll, yaw = (torch.from_numpy(a)[:, None, None] for a in (motion.x, motion.y, motion.roll, motion.yaw))
    dx = (axis[None, None, :] - face.x) / face.scale - x
    dy = (axis[None, :, None] - face.y) / face.scale - y - 0.5
    cos, sin = torch.cos(roll), torch.sin(roll)
    u, v = cos * dx + sin * dy, cos * dy - sin * dx + 0.5  # the head rolls about the neck
    bulge = (1 - (u / 0.62) ** 2).clamp_min(0) * (1 - (v / 0.80) ** 2).clamp_min(0)
    return u - yaw * bulge, v


def _over(image: torch.Tensor, colour: Colour | torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    paint = colour if isinstance(colour, torch.Tensor) else torch.tensor(colour)
    return image + (paint - image) * alpha[..., None]


def _edge(distance: torch.Tensor, pixel: float) -> torch.Tensor:
    """Coverage of a shape from its signed distance (negative inside)."""
    return (0.5 - distance / pixel).clamp(0, 1)


def _mouth(image: torch.Tensor, x: torch.Tensor, y: torch.Tensor, shape: torch.Tensor, face: Face, pixel: float) -> torch.Tensor:
    """Lips, teeth, tongue over `image` (F, h, w, 3); `x`, `y` (F, h, w) from the mouth's centre; `shape` (F, 3) open, width, round."""
    opening, wide, pursed = (shape[:, i, None, None] for i in range(3))
    half = face.mouth_width * (0.90 + 0.24 * wide - 0.36 * pursed)
    s = x / half
    arch = (1 - s * s).clamp_min(0)
    body = arch.sqrt()
    corner = -0.010 * wide * s * s  # a little lift of the corners
    full = face.lip_fullness * (1 + 0.25 * pursed) * (1 - 0.18 * wide * opening)
    upper_gap = 0.030 * opening * arch.pow(0.7)
    lower_gap = 0.112 * opening * arch.pow(0.62)
    bow = 1 - 0.22 * torch.exp(-((s / 0.13) ** 2)) + 0.12 * torch.exp(-(((s.abs() - 0.28) / 0.2) ** 2))
    inner_top = corner - upper_gap
    inner_low = corner + lower_gap
    outer_top = inner_top - 0.040 * full * arch.pow(0.85) * bow
    outer_low = inner_low + 0.054 * full * arch.pow(0.75)
    slope = 1 + 1.2 * s.abs().clamp(0, 1) ** 4  # the contours steepen towards the corners, where a vertical distance overstates
    skin_shadow = darker(face.skin, 0.7)
    below = torch.exp(-((x / (0.7 * half)) ** 2) - ((y - outer_low - 0.030) / 0.016) ** 2)
    image = _over(image, skin_shadow, 0.38 * below * (0.35 if face.beard in ("beard", "goatee") else 1.0))
    folds = torch.exp(-(((x.abs() - half - 0.022) / 0.014) ** 2) - ((y - 0.002) / 0.028) ** 2)
    image = _over(image, skin_shadow, (0.22 + 0.2 * wide) * folds)
    inside_lips = torch.maximum(outer_top - y, y - outer_low)
    lips = _edge(torch.maximum(inside_lips / slope, x.abs() - half), pixel)
    upper_tone = torch.tensor(darker(face.lip, 0.22))
    lower_tone = torch.tensor(face.lip)
    is_upper = torch.sigmoid((0.5 * (inner_top + inner_low) - y) / 0.004)[..., None]
    image = _over(image, upper_tone * is_upper + lower_tone * (1 - is_upper), lips * 0.96)
    shine = torch.exp(-(((x - 0.03 * face.light) / (0.38 * half)) ** 2) - ((y - inner_low - 0.022 * full) / 0.009) ** 2)
    image = _over(image, lighter(face.lip, 0.6), 0.42 * shine * lips)
    # The gap between the lips: dark at once, teeth and tongue where there is room.
    gap = torch.maximum(inner_top - y, y - inner_low)
    hole = _edge(torch.maximum(gap / slope, x.abs() - half * 0.985), pixel) * (opening > 0.015)
    depth = ((y - inner_top) / (inner_low - inner_top).clamp_min(1e-4)).clamp(0, 1)[..., None]
    image = _over(image, torch.tensor((0.20, 0.05, 0.06)) * (1 - depth) + torch.tensor((0.34, 0.09, 0.10)) * depth, hole)
    tongue_top = inner_low - (0.050 * opening + 0.008) * (1 - (x / (0.72 * half)) ** 2).clamp_min(0).sqrt()
    tongue = _edge(tongue_top - y, 2 * pixel) * hole * (x.abs() < 0.72 * half)
    image = _over(image, (0.78, 0.36, 0.37), 0.92 * tongue * (opening > 0.12))
    bite = (0.034 * body.pow(0.5)) * (1 - 0.45 * pursed)
    teeth = _edge(torch.maximum(y - inner_top - bite, x.abs() - 0.80 * half), 1.5 * pixel) * hole
    image = _over(image, (0.97, 0.95, 0.91), teeth * (1 - 0.4 * pursed) * 0.97)
    low_teeth = _edge(torch.maximum(inner_low - 0.016 * body - y, x.abs() - 0.6 * half), 1.5 * pixel) * hole
    image = _over(image, (0.90, 0.87, 0.82), low_teeth * ((wide - 0.45) * 2.2).clamp(0, 1) * (1 - pursed) * 0.9)
    shade = torch.exp(-(((y - inner_top) / 0.010) ** 2)) * hole
    image = _over(image, (0.15, 0.03, 0.04), 0.35 * shade)
    # Closed lips keep a line between them.
    middle = 0.5 * (inner_top + inner_low) + 0.005 * torch.cos(3.1 * s) - 0.002
    line = _edge(torch.maximum((y - middle).abs() - 0.0045, x.abs() - half * 1.02), pixel) * (1 - opening * 9).clamp(0, 1)
    return _over(image, darker(face.lip, 0.95), 0.85 * line)


def _eye(
    image: torch.Tensor, x: torch.Tensor, y: torch.Tensor, blink: torch.Tensor, gaze: torch.Tensor, side: int, face: Face, pixel: float
) -> torch.Tensor:
    """One eye over `image` (F, h, w, 3); `x`, `y` (F, h, w) from its centre, x growing outwards; blink and gaze (F, 1, 1)."""
    half, size = 0.080 * face.eye_size, face.eye_size
    y = y + face.eye_tilt * x
    s = (x / half).clamp(-1.3, 1.3)
    arch = (1 - s * s).clamp_min(0)
    top_open = -0.054 * size * arch.pow(0.62) * (1 - 0.12 * s)
    low = 0.030 * size * arch.pow(0.75)
    top = top_open + (low * 0.75 - top_open) * blink
    ball = _edge(torch.maximum(torch.maximum(top - y, y - low), x.abs() - half), pixel)
    lid = _edge(torch.maximum(top_open - y, y - top), pixel) * (blink > 0.02)
    image = _over(image, darker(face.skin, 0.22), lid)
    white = torch.tensor((0.97, 0.96, 0.94)) * (1 - 0.28 * torch.exp(-(((y - top) / 0.014) ** 2)))[..., None]
    image = _over(image, white, ball)
    ix, iy = x - side * gaze * 0.022, y + 0.008 * size
    radius = 0.0415 * size
    distance = torch.sqrt(ix * ix + iy * iy + 1e-9)
    image = _over(image, darker(face.eye, 0.65), _edge(distance - radius, pixel) * ball)
    glow = ((iy / radius) * 0.5 + 0.5).clamp(0, 1)[..., None]
    iris = torch.tensor(face.eye) * (1 - glow) + torch.tensor(lighter(face.eye, 0.30)) * glow
    image = _over(image, iris, _edge(distance - radius * 0.84, pixel) * ball)
    image = _over(image, (0.04, 0.03, 0.04), _edge(distance - radius * 0.46, pixel) * ball)
    shine_x, shine_y = ix - side * face.light * 0.014 * size, iy + 0.015 * size
    image = _over(image, (1.0, 1.0, 1.0), _edge(torch.sqrt(shine_x**2 + shine_y**2 + 1e-9) - 0.0105 * size, pixel) * ball)
    lash = darker(mix(face.hair, (0.10, 0.07, 0.07), 0.8), 0.5)
    thick = (0.0105 if face.gender == "woman" else 0.0062) * (1 + 0.5 * s.clamp(-1, 1))
    wing = 1.10 if face.gender == "woman" else 1.02
    lash_at = top - (0.020 * (s - 0.95).clamp_min(0) * 3 if face.gender == "woman" else 0.0)
    upper = _edge(torch.maximum((y - lash_at).abs() - thick, torch.maximum(x - half * wing, -x - half)), pixel)
    image = _over(image, lash, 0.93 * upper)
    under = _edge(torch.maximum((y - low).abs() - 0.003, x.abs() - half * 0.9), pixel)
    image = _over(image, darker(face.skin, 0.9), 0.55 * under)
    crease = _edge(torch.maximum((y - top_open + 0.024).abs() - 0.003, x.abs() - half * 0.92), 1.5 * pixel)
    return _over(image, darker(face.skin, 0.8), 0.50 * crease)


def _window(
    face: Face, motion: Motion, height: int, centre: tuple[float, float], box: tuple[float, float, float, float]
) -> tuple[slice, slice]:
    """Rows and columns of the picture that hold a feature's box (head units around `centre`) in all frames."""
    slack = 0.01 + float(max(abs(motion.x).max() + abs(motion.yaw).max(), abs(motion.y).max()) + abs(motion.roll).max() * 0.6)

    def bounds(low: float, high: float, shift: float) -> slice:
        edges = [((value * face.scale + shift) + 1) * height / 2 for value in (low - slack, high + slack)]
        return slice(max(0, math.floor(edges[0])), min(height, math.ceil(edges[1])))

    return bounds(centre[1] + box[2], centre[1] + box[3], face.y), bounds(centre[0] + box[0], centre[0] + box[1], face.x)


def mouth_box(face: Face) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the mouth in a picture whose sides are 1 long, the head unmoved."""
    u1, u2, v1, v2 = MOUTH_BOX
    corners = (
        u1 * face.scale + face.x,
        (face.mouth_y + v1) * face.scale + face.y,
        u2 * face.scale + face.x,
        (face.mouth_y + v2) * face.scale + face.y,
    )
    left, top, right, bottom = (min(max((value + 1) / 2, 0.0), 1.0) for value in corners)
    return left, top, right, bottom


@torch.inference_mode()
def render(face: Face, mouth: np.ndarray, motion: Motion, height: int = 128) -> np.ndarray:
    """Draw a clip: `mouth` float (F, 3) open / width / round in 0..1, `motion` of F frames -> uint8 (F, height, height, 3) RGB.

    Raises ValueError where `mouth` and `motion` differ in length, or `height` is under 32.
    """
    frames = len(mouth)
    if mouth.shape != (frames, 3) or len(motion.x) != frames:
        raise ValueError(f"mouth has shape {mouth.shape} and motion {len(motion.x)} frames; (F, 3) and F are expected")
    if height < 32:
        raise ValueError(f"a portrait of {height} pixels is too small to draw; use 32 or more")
    layers, backdrop = _prepared(face, height)
    shape = torch.from_numpy(np.ascontiguousarray(mouth, np.float32))
    u, v = _head_coordinates(face, motion, height)
    opening = shape[:, 0, None, None]
    chin = ((v - face.mouth_y) / 0.16).clamp(0, 1)
    jaw = v - JAW_DROP * opening * chin * chin * (3 - 2 * chin)
    axis = (torch.arange(height, dtype=torch.float32) + 0.5) * (2 / height) - 1
    still_u = ((axis - face.x) / face.scale)[None, None, :].expand(1, height, height)
    still_v = ((axis - face.y) / face.scale)[None, :, None].expand(1, height, height)

    def sample(index: int, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        grid = torch.stack([x, y], -1) / EXTENT
        texture = layers[index : index + 1].expand(len(grid), -1, -1, -1)
        return grid_sample(texture, grid, mode="bilinear", padding_mode="border", align_corners=False).permute(0, 2, 3, 1)

    def lay(image: torch.Tensor, layer: torch.Tensor) -> torch.Tensor:
        return image * (1 - layer[..., 3:]) + layer[..., :3]

    image = lay(backdrop[None].expand(frames, -1, -1, -1), sample(0, u, v))
    image = lay(image, sample(1, still_u, still_v))
    image = lay(image, sample(2, u, jaw)).contiguous()

    pixel = 2 / height / face.scale
    blink, gaze = (torch.from_numpy(a)[:, None, None] for a in (motion.blink, motion.gaze))
    rows, columns = _window(face, motion, height, (0.0, face.mouth_y), MOUTH_BOX)
    image[:, rows, columns] = _mouth(image[:, rows, columns], u[:, rows, columns], v[:, rows, columns] - face.mouth_y, shape, face, pixel)
    for side in (-1, 1):
        rows, columns = _window(face, motion, height, (side * face.eye_gap, -0.06), EYE_BOX)
        x, y = side * u[:, rows, columns] - face.eye_gap, v[:, rows, columns] + 0.06
        image[:, rows, columns] = _eye(image[:, rows, columns], x, y, blink, gaze, side, face, pixel)
    image = lay(image, sample(3, u, v))
    return (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()
