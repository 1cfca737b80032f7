"""A model's configuration, told by the shapes of its weights alone.

Only models around Wan2.2's latents and UMT5's text can be told so: their codecs are public and the same for all. What the shapes do not
say is Wan's: heads of 128, the clip's size and the settings of the preset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from ..config import ModelConfig
from ..presets import ten_b, ten_b_16k
from ..transformer import UniTalkingTransformer
from .container import CheckpointError

HEAD = 128
BY_AUDIO_CHANNELS = {40: ten_b, 20: ten_b_16k}

Shapes = Mapping[str, tuple[int, ...]]


def resized(preset: ModelConfig, shapes: Shapes) -> ModelConfig:
    """The preset with the depth and the widths of a video stream of these shapes (our names); the preset itself where they are its own.

    Raises CheckpointError where they are not a Wan2.2 stream's.
    """
    try:
        patch, ffn = shapes["patch_embedding.weight"], shapes["blocks.0.ffn.0.weight"]
        text, freq = shapes["text_embedding.0.weight"], shapes["time_embedding.0.weight"]
    except KeyError as error:
        raise CheckpointError(f"the video stream has no {error.args[0]}; the file is incomplete") from error
    latent = (preset.video.channels, *preset.transformer.video_patch)
    if patch[1:] != latent or patch[0] % HEAD:
        raise CheckpointError(
            f"the video stream reads latents {patch[1:]} at width {patch[0]}; a Wan2.2 stream reads {latent} at a multiple of {HEAD}"
        )
    layers = 1 + max(int(found[1]) for name in shapes if (found := re.match(r"blocks\.(\d+)\.", name)))
    transformer = replace(
        preset.transformer, layers=layers, dim=patch[0], heads=patch[0] // HEAD, ffn_dim=ffn[0], text_dim=text[1], freq_dim=freq[1]
    )
    return preset if transformer == preset.transformer else replace(preset, name=f"{layers}x{patch[0]}", transformer=transformer)


def transformer_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the transformer's weights; builds it where weights take no memory."""
    return {name: tuple(weight.shape) for name, weight in UniTalkingTransformer(config, device="meta").state_dict().items()}


def config_of_shapes(shapes: Shapes) -> ModelConfig:
    """The configuration of a UniTalking model with these weights (our names). Raises CheckpointError where the shapes do not tell it."""
    sound = shapes.get("audio.patch_embedding.weight", ())
    if len(sound) != 3 or sound[1] not in BY_AUDIO_CHANNELS:
        raise CheckpointError("the audio latents are of no public codec")
    preset = BY_AUDIO_CHANNELS[sound[1]]()
    found = resized(preset, shapes)
    if found.transformer.text_dim != preset.transformer.text_dim:
        raise CheckpointError(f"the text is of width {found.transformer.text_dim}, which is no public encoder's")
    return replace(found, transformer=replace(found.transformer, audio_kernel=sound[2]))
