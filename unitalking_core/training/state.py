"""Everything a run needs to go on, in one safetensors file: weights, their average, optimiser states; position in the metadata.

Nothing is pickled. Batches need no state: they are functions of the step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

MODEL, AVERAGE, OPTIMIZER = "model.", "average.", "optimizer"


def save_state(
    path: Path, model: nn.Module, average: Mapping[str, Tensor], optimizers: Sequence[torch.optim.Optimizer], position: Mapping[str, Any]
) -> None:
    """Write atomically: a killed save leaves the one before."""
    tensors = {MODEL + k: v for k, v in model.state_dict().items()} | {AVERAGE + k: v for k, v in average.items()}
    for number, optimizer in enumerate(optimizers):
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"{OPTIMIZER}{number}.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, temporary, metadata={"position": json.dumps(position)})
    temporary.replace(path)


def read_position(path: Path) -> dict[str, Any] | None:
    """Where the saved run stood; None without a saved run."""
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["position"])


def load_state(path: Path, model: nn.Module, average: dict[str, Tensor]) -> None:
    """Fill the model and its average, in place."""
    with safe_open(path, framework="pt") as file:
        model.load_state_dict({k.removeprefix(MODEL): file.get_tensor(k) for k in file.keys() if k.startswith(MODEL)})  # noqa: SIM118
        for key in average:
            average[key].copy_(file.get_tensor(AVERAGE + key))


def load_optimizers(path: Path, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Fill the optimisers' states; they must have been made for the same parameters."""
    with safe_open(path, framework="pt") as file:
        for number, optimizer in enumerate(optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for key in file.keys():  # noqa: SIM118
                owner, _, rest = key.partition(".")
                if owner == f"{OPTIMIZER}{number}":
                    index, name = rest.split(".", 1)
                    state.setdefault(int(index), {})[name] = file.get_tensor(key)
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
