"""NAVA's public files: their names for our weights, and the configuration that their shapes tell (github.com/ernie-research/NAVA).

One file has all of the transformer: both streams' own weights side by side (`..._audio`), blocks that share little (`double_blocks`) before
blocks that share everything (`single_blocks`), the names of the training wrapper's part in front (`backbone.`). Published in 32 or 16 bits
and with the blocks' linear layers in 8 bits, one scale for each row (`quantization.FP8_ROWS`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..config import ModelConfig
from ..presets import nava_6b, nava_sharing
from .container import CheckpointError, check_numbers, writing
from .fit import check_fit
from .geometry import resized, transformer_shapes

PREFIX = "backbone."
MARK = re.compile(rf"({re.escape(PREFIX)})?patch_embedding_audio\.0\.weight")
"""A weight that only these files have."""
_BLOCK = re.compile(r"(double|single)_blocks\.(\d+)\.(.*)")

Shapes = Mapping[str, tuple[int, ...]]


def our_names(names: Iterable[str]) -> dict[str, str]:
    """The names in a file -> ours; of a file that is not NAVA's, as they are."""
    names = list(names)
    if not any(MARK.fullmatch(name) for name in names):
        return {name: name for name in names}
    blocks = [match for name in names if (match := _BLOCK.match(name.removeprefix(PREFIX)))]
    double = 1 + max((int(match[2]) for match in blocks if match[1] == "double"), default=-1)
    return {name: _our_name(name.removeprefix(PREFIX), double) for name in names}


def _our_name(name: str, double: int) -> str:
    audio = ""
    if match := _BLOCK.match(name):
        name = f"blocks.{int(match[2]) + (0 if match[1] == 'double' else double)}.{match[3]}"
    if "_audio." in name:
        audio, name = "audio.", name.replace("_audio.", ".", 1)
    name = name.replace("speaker_embedding.", "voice_embedding.").replace("modulation.modulation", "modulation")
    return f"{audio}{name}.weight" if name.endswith((".modulation", ".null_token")) else audio + name


def config_of(shapes: Shapes) -> ModelConfig:
    """The configuration of a NAVA file with these names and shapes. Raises CheckpointError where they are not all of a NAVA model's."""
    ours = {mine: shapes[name] for name, mine in our_names(shapes).items() if not mine.endswith(".weight_scale")}
    double = 1 + max((int(m[1]) for n in ours if (m := re.match(r"audio\.blocks\.(\d+)\.", n))), default=-1)
    preset = nava_6b()
    sized = resized(replace(preset, transformer=replace(preset.transformer, sharing=())), ours)
    try:
        hidden, speaker = ours["audio.patch_embedding.2.w1.weight"][0], ours["voice_embedding.net.0.weight"][0]
        channels, kernel = ours["audio.patch_embedding.0.weight"][1:]
    except KeyError as error:
        raise CheckpointError(f"it has no {error.args[0]}; the file is incomplete") from error
    if channels != sized.audio.channels:
        raise CheckpointError(f"its sound has {channels} channels; NAVA's has {sized.audio.channels}")
    transformer = replace(
        sized.transformer,
        sharing=nava_sharing(double, sized.transformer.layers),
        audio_hidden=hidden,
        audio_kernel=kernel,
        speaker_dim=speaker,
    )
    config = preset if transformer == preset.transformer else replace(sized, name=f"nava-{sized.name}", transformer=transformer)
    check_fit(_on_meta(transformer_shapes(config)), _on_meta(ours), "NAVA model")
    return config


def convert(weights: Mapping[str, Tensor], out: Path, dtype: torch.dtype) -> ModelConfig:
    """Weights of any of NAVA's files in 16 or 32 bits -> a checkpoint of ours, written whole or not at all. Raises CheckpointError."""
    if out.suffix != ".safetensors":
        raise CheckpointError(f"{out.name} must end in .safetensors, or nothing finds it")
    names = our_names(weights)
    if not any(MARK.fullmatch(name) for name in weights):
        raise CheckpointError(f"this is no NAVA model: there is no patch_embedding_audio.0.weight among its {len(weights)} tensors")
    config = config_of({name: tuple(weight.shape) for name, weight in weights.items()})
    with writing(out, {names[name]: (dtype, tuple(weight.shape)) for name, weight in weights.items()}, config.to_metadata()) as put:
        for name, weight in weights.items():
            check_numbers(out, name, weight)
            put(names[name], weight.to(dtype))
    return config


def _on_meta(shapes: Shapes) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
