"""LoadUniTalkingModel: a checkpoint's transformer, text encoder and codecs."""

from __future__ import annotations

import folder_paths
from comfy_api.latest import io

from ..unitalking_core import checkpoint as checkpoints
from .codecs import load_codecs
from .loading import FOLDER, WEIGHT_DTYPES, checkpoint_names, checkpoint_path, patcher_of, with_bundled_parts
from .text import load_text_encoder


class LoadUniTalkingModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        names = checkpoint_names()
        return io.Schema(
            node_id="LoadUniTalkingModel",
            display_name="Load UniTalking Model",
            category="UniTalking",
            description="Loads a UniTalking checkpoint: the joint audio-video model with its text encoder and both codecs. "
            "The nano model ships with the pack; put others into models/unitalking.",
            search_aliases=["talking head", "lip sync", "audio video model", "unitalking checkpoint"],
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=names,
                    default=next(iter(names), None),
                    tooltip="A UniTalking checkpoint (.safetensors) in models/unitalking, or the nano model that ships with the pack.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(WEIGHT_DTYPES),
                    default="default",
                    advanced=True,
                    tooltip="How the transformer's weights are kept in memory. fp8 halves the memory and costs some quality.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL"),
                io.Clip.Output(display_name="CLIP"),
                io.Vae.Output(display_name="VAE"),
                io.Vae.Output(display_name="audio VAE"),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str, weight_dtype: str) -> tuple:
        """A file that was replaced is loaded again."""
        path = folder_paths.get_full_path(FOLDER, checkpoint)
        return (path, checkpoints.stamp(path) if path else None, weight_dtype)

    @classmethod
    def execute(cls, checkpoint: str, weight_dtype: str) -> io.NodeOutput:
        loaded = with_bundled_parts(checkpoints.load(checkpoint_path(checkpoint)))
        dtype = WEIGHT_DTYPES[weight_dtype]
        model = patcher_of(loaded, {} if dtype is None else {"dtype": dtype})
        return io.NodeOutput(model, load_text_encoder(loaded), *load_codecs(loaded))
