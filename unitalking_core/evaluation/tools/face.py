"""Whose face it is, by dlib (Boost) with the networks of face_recognition_models (MIT).

Reading: {"first": descriptor, "later": descriptor}: 128 numbers each for the first frame and for the mean of three later ones; the
Euclidean distance of two says how different the faces are. On drawn faces same and different are further apart than chance, not as far
as on photographs: use them to retrieve, not to verify.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import Reader, ReadingFailed, Recording, installed, packages_missing

LEAST_PIXELS = 256
"""Pictures are enlarged to this height: dlib finds faces of 80 pixels and more."""


@dataclass(frozen=True)
class FaceEncoder:
    name = "dlib"
    senses = ("frames",)

    def missing(self) -> str | None:
        return packages_missing("dlib-bin", "face_recognition_models")

    def version(self) -> str:
        return f"{installed('dlib-bin')}, face_recognition_models {installed('face_recognition_models')}"

    def open(self) -> Reader:
        import dlib
        import face_recognition_models as models
        from PIL import Image

        detect = dlib.get_frontal_face_detector()
        shape = dlib.shape_predictor(models.pose_predictor_model_location())
        network = dlib.face_recognition_model_v1(models.face_recognition_model_location())

        def describe(frame: NDArray[np.uint8]) -> NDArray[np.float64] | None:
            scale = max(1.0, LEAST_PIXELS / frame.shape[0])
            size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
            picture = np.array(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
            found = detect(picture, 0)
            return np.array(network.compute_face_descriptor(picture, shape(picture, found[0]))) if found else None

        def read(recording: Recording) -> dict:
            frames = recording.frames()
            first = describe(frames[0])
            later = [d for i in (1, 2, 3) if (d := describe(frames[i * (len(frames) - 1) // 3])) is not None]
            if first is None or not later:
                raise ReadingFailed("no face was found")
            return {name: np.round(d, 5).tolist() for name, d in (("first", first), ("later", np.mean(later, axis=0)))}

        return read
