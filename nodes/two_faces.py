"""UniTalkingTwoFaces: one picture of two people becomes the two portraits of a dialogue."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..unitalking_core.conditions.portrait import faces_of
from ..unitalking_core.conditions.two_faces import divide
from .report import say


class UniTalkingTwoFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniTalkingTwoFaces",
            display_name="UniTalking Two Faces",
            category="UniTalking",
            description="Parts one picture of two people into two square portraits that meet in it. UniTalking Dialogue puts them side by "
            "side again, so that both talk in one picture.",
            search_aliases=["split image", "two people", "multi-person", "crop faces", "couple"],
            inputs=[
                io.Image.Input("image", tooltip="A picture of two people beside each other. All pictures of a batch are parted alike."),
                io.Float.Input(
                    "split",
                    default=0.5,
                    min=0.05,
                    max=0.95,
                    step=0.01,
                    tooltip="Where the picture is parted, from its left edge (0) to its right (1). Not used where faces are known.",
                ),
                io.BoundingBox.Input(
                    "faces",
                    optional=True,
                    force_input=True,
                    tooltip="Where the faces are, from core's MediaPipe Face Landmarker or another detector: the picture is parted between "
                    "the two largest, and the squares are laid around them. Let the detector find two (num_faces).",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="left", tooltip="The left person; for the Encode Portrait of person A."),
                io.Image.Output(display_name="right", tooltip="The right person; for the Encode Portrait of person B."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image: Tensor, split: float, faces: Any = None) -> io.NodeOutput:
        left, right, report = divide(image, None if faces is None else faces_of(faces, 0), split)
        return io.NodeOutput(left, right, ui=say(cls, report))
