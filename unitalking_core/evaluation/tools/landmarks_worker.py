"""Run by another Python than the rest: FaceMesh over clips, one path a line in, one reading a line out. See `landmarks.py`.

Imports nothing of the pack. It needs mediapipe and safetensors.
"""

from __future__ import annotations

import json
import sys

import cv2
import mediapipe
import numpy as np
from safetensors.numpy import load_file

SIZE = 512
"""Pixels to which pictures are enlarged: FaceMesh finds small faces badly."""
INNER_LIPS = ((13, 14), (82, 87), (312, 317))
EYES = ((33, 133), (362, 263))
LIPS = (61, 291, 0, 17, 37, 267, 84, 314)


def measure(frames: np.ndarray) -> dict:
    """Frames (F, H, W, 3) uint8 -> the reading. A new tracker for every clip: what was seen before must not matter."""
    height, width = frames.shape[1:3]
    scale = SIZE / max(height, width)
    size = (round(width * scale), round(height * scale))
    opening: list[float | None] = []
    mouth: list[list[float] | None] = []
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=False, refine_landmarks=True, max_num_faces=1) as mesh:
        for frame in frames:
            found = mesh.process(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC)).multi_face_landmarks
            if not found:
                opening.append(None)
                mouth.append(None)
                continue
            points = np.array([[p.x * width, p.y * height] for p in found[0].landmark])
            eyes = np.linalg.norm(np.subtract(*(points[list(corners)].mean(0) for corners in EYES)))
            lips = np.mean([np.linalg.norm(points[a] - points[b]) for a, b in INNER_LIPS])
            opening.append(round(float(lips / eyes), 5))
            box = [*points[list(LIPS)].min(0) / (width, height), *points[list(LIPS)].max(0) / (width, height)]
            mouth.append([round(float(x), 4) for x in box])
    return {"opening": opening, "mouth": mouth}


def main() -> None:
    for line in sys.stdin:
        try:
            answer = measure(load_file(json.loads(line))["frames"])
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


main()
