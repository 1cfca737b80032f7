"""Low-rank adapters (LoRA, arXiv 2106.09685) on the transformer's linear layers, through the peft package.

A file of adapters names the layers as the host does in memory, `diffusion_model.blocks.0.self_attn.q.lora_A.weight` (rank, in),
`.lora_B.weight` (out, rank) and `.alpha`; the sound's twin has `diffusion_model.audio.blocks...`. ComfyUI's LoraLoaderModelOnly reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..config import ConfigError
from .config import LoraOptions
from .objective import Learner

HOST = "diffusion_model."
TRANSFORMER = "transformer."
_A, _B = ".lora_A.default.weight", ".lora_B.default.weight"
_ADAPTER = re.compile(r"\.(lora_[AB])\.default\.weight$")


def adapted_layers(transformer: nn.Module, options: LoraOptions) -> list[str]:
    """Names of the linear layers that hold one of the targets. Raises ConfigError when there are none."""
    layers = [name for name, module in transformer.named_modules() if isinstance(module, nn.Linear)]
    names = [name for name in layers if any(re.search(target, name) for target in options.targets)]
    if not names:
        raise ConfigError(f"lora: no linear layer's name holds {', '.join(options.targets)}; there are {layers[0]} ... {layers[-1]}")
    return names


def add_adapters(learner: Learner, options: LoraOptions) -> list[str]:
    """Put adapters on the transformer's linear layers whose names hold one of the targets; returns those names.

    The adapted model starts equal to the one before. Raises ConfigError when no layer is meant or peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError("LoRA needs the package peft: pip install peft") from error
    names = adapted_layers(learner.transformer, options)
    # One pattern for the whole name: a list would be matched by endings, and every video layer's name ends an audio layer's.
    pattern = "|".join(re.escape(name) for name in names)
    inject_adapter_in_model(LoraConfig(r=options.rank, lora_alpha=options.alpha, target_modules=pattern), learner.transformer)
    return names


def merge_adapters(weights: Mapping[str, Tensor], options: LoraOptions) -> dict[str, Tensor]:
    """The weights of an adapted `Learner` as those of a plain one: W + alpha / rank * B A. Without adapters they stay as they are."""
    plain = {name.replace(".base_layer.", "."): value for name, value in weights.items() if not _ADAPTER.search(name)}
    for name, a in weights.items():
        if name.endswith(_A):
            layer = name.removesuffix(_A)
            plain[f"{layer}.weight"] = plain[f"{layer}.weight"] + options.alpha / options.rank * weights[layer + _B] @ a
    return plain


def save_adapters(path: str | Path, weights: Mapping[str, Tensor], options: LoraOptions) -> None:
    """Write the adapters among `weights` (names of an adapted `Learner`) in half precision, atomically."""
    tensors: dict[str, Tensor] = {}
    for name, value in weights.items():
        found = _ADAPTER.search(name)
        if found:
            layer = HOST + name[: found.start()].removeprefix(TRANSFORMER)
            tensors[f"{layer}.{found[1]}.weight"] = value.detach().half().contiguous().cpu()
            tensors[f"{layer}.alpha"] = torch.tensor(float(options.alpha))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, metadata={"format": "pt", "unitalking_lora": f"rank {options.rank}, alpha {options.alpha:g}"})
    temporary.replace(path)
