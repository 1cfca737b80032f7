"""Checkpoints: reading and writing them, public weights that a model starts from, and saying what a wrong file is.

From the ground up: `container` (the safetensors format), `source` (one file or shards), `quantization` (8 bits with a scale), `layouts`
(the names in published files), `detection` (what a file is), `geometry` (a configuration told by shapes), `nava` (NAVA's public files),
`unitalking` (our own files), `fit` (weights into a module), `accounting` (where every weight of a warm start comes from), `assemble`
(writing it), `merge` (two averaged), `report` (`info`). Beside them: `gguf` (GGUF files), `ggml` (their blocks).
"""

from .container import CheckpointError, write_atomically
from .detection import CONFIG_TENSOR, Found, detect, require_codec
from .fit import check_fit, load_into, multiplied_out, without_scales
from .nava import our_names
from .unitalking import (
    AUDIO_CODEC,
    BUNDLED,
    TEXT_ENCODER,
    TRANSFORMER,
    VIDEO_CODEC,
    Checkpoint,
    config_tensor,
    load,
    read_config,
    save,
    split_key,
    stamp,
)

__all__ = [
    "AUDIO_CODEC",
    "BUNDLED",
    "CONFIG_TENSOR",
    "TEXT_ENCODER",
    "TRANSFORMER",
    "VIDEO_CODEC",
    "Checkpoint",
    "CheckpointError",
    "Found",
    "check_fit",
    "config_tensor",
    "detect",
    "load",
    "load_into",
    "multiplied_out",
    "our_names",
    "read_config",
    "require_codec",
    "save",
    "split_key",
    "stamp",
    "without_scales",
    "write_atomically",
]
