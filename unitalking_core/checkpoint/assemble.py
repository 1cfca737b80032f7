"""`unitalking assemble`: a model to train from, put together from public weights and written one weight at a time."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..initialisation import initial
from .accounting import Plan, plan
from .container import CheckpointError, writing
from .quantization import FP8, READABLE, SCALE, metadata_of, quantized

FP8_SCALED = "fp8_e4m3fn_scaled"
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32, FP8_SCALED: torch.bfloat16}
"""What weights are written in; for scaled fp8, what those are written in that stay as they are."""
ORIGIN = "assembled_from"
"""Entry of the metadata that tells what a model was put together from."""


def assemble(
    video: Path,
    audio: str,
    out: Path,
    rate: str = "44k",
    dtype: str = "bf16",
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Plan:
    """Write a warm start to `out`, whole or not at all, and tell what it is made of.

    `video`, `audio` and `rate` as in `accounting.plan`; `dtype` one of DTYPES. `on_progress` gets the values written so far and their
    number. At most one weight is in memory. The same files and seed give the same file. Raises CheckpointError as `plan`, where a weight
    holds NaN or does not fit the dtype, and where the disk is too small.
    """
    made = plan(video, audio, rate)
    if out.suffix != ".safetensors":
        raise CheckpointError(f"{out.name} must end in .safetensors, or nothing finds it")
    if any(out.resolve() == Path(file.path).resolve() for o in made.origins.values() if o for file in o.donor.source.files):
        raise CheckpointError(f"{out} is one of the files that are read; write to another")
    in_fp8 = [name for name, shape in made.shapes.items() if dtype == FP8_SCALED and _is_matrix_of_a_block(name, shape)]
    layers = {name.removesuffix(".weight"): {"format": FP8} for name in in_fp8}
    announced = {name: (READABLE[FP8] if name in set(in_fp8) else DTYPES[dtype], shape) for name, shape in made.shapes.items()}
    announced |= {layer + SCALE: (torch.float32, ()) for layer in layers}
    made_from = json.dumps({"video": video.name, "audio": audio, "dtype": dtype, "seed": seed})
    total, done = sum(torch.Size(shape).numel() for shape in made.shapes.values()), 0
    with writing(out, announced, {**made.config.to_metadata(), **metadata_of(layers), ORIGIN: made_from}) as put:
        for name, origin in made.origins.items():
            weight = _drawn(name, made.shapes[name], seed) if origin is None else origin.read()
            layer = name.removesuffix(".weight")
            if layer in layers:
                stored, scale = quantized(weight.to(torch.float32))
                put(layer + SCALE, scale)
            else:
                stored = _converted(name, weight, DTYPES[dtype])
            put(name, stored)
            done += weight.numel()
            on_progress(done, total)
    return made


def _is_matrix_of_a_block(name: str, shape: tuple[int, ...]) -> bool:
    """What fp8 is good enough for; embeddings, heads, norms, biases and modulation keep their 16 bits."""
    return len(shape) == 2 and name.endswith(".weight") and "blocks." in name


def _drawn(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """A first value that depends on the seed and the name alone, not on what was drawn before."""
    return initial(name, shape, torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode())))


def _converted(name: str, weight: Tensor, dtype: torch.dtype) -> Tensor:
    stored = weight.to(dtype)
    if dtype == torch.float16 and not bool(torch.isfinite(stored).all()):
        raise CheckpointError(f"{name} is too large for fp16; write bf16")
    return stored
