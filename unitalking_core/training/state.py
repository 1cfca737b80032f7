"""Everything a run needs to go on, in one safetensors file: weights, their average, optimiser states; position in the metadata.

Nothing is pickled. Batches need no state: they are functions of the step. The file holds whole tensors however many processes wrote it, so
any number of processes may go on from it.
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

from .. import checkpoint
from .distributed import like, processes, whole_tensors
from .objective import Learner

MODEL, AVERAGE, OPTIMIZER = "model.", "average.", "optimizer"


def save_state(
    path: Path, model: nn.Module, average: Mapping[str, Tensor], optimizers: Sequence[torch.optim.Optimizer], position: Mapping[str, Any]
) -> None:
    """Write atomically: a killed save leaves the one before. Collective; the first process writes."""
    tensors = {MODEL + k: v for k, v in model.state_dict().items()} | {AVERAGE + k: v for k, v in average.items()}
    for number, optimizer in enumerate(optimizers):
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"{OPTIMIZER}{number}.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
    found = whole_tensors(tensors)
    if processes()[0] > 0:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    save_file({k: v.contiguous() for k, v in found.items()}, temporary, metadata={"position": json.dumps(position)})
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
        targets = model.state_dict()
        model.load_state_dict({k: like(file.get_tensor(MODEL + k), targets[k]) for k in _names(file, MODEL)})
        for key in average:
            average[key].copy_(like(file.get_tensor(AVERAGE + key), average[key]))


def load_start(path: str, learner: Learner) -> None:
    """Give the learner the weights of a checkpoint. Raises CheckpointError when they do not fit."""
    file = checkpoint.load(path)
    for part, module in learner.parts().items():
        checkpoint.load_into(module, file.part(part), part.replace("_", " "), torch.float32)


def load_warm_start(path: str, learner: Learner) -> str:
    """Give the learner what fits of a checkpoint, by name and shape; says what does not. Raises CheckpointError when the file is none."""
    file, left_out = checkpoint.load(path), []
    for part, module in learner.parts().items():
        theirs = checkpoint.multiplied_out(file.part(part), part.replace("_", " "), torch.float32)
        own = dict(module.named_parameters())
        for name, parameter in own.items():
            if name in theirs and theirs[name].shape == parameter.shape:
                parameter.data.copy_(theirs[name])
            else:
                left_out.append(f"{part}.{name}")
    return f"{len(left_out)} parameters begin with chance: {', '.join(left_out)}" if left_out else "all parameters are taken"


def load_optimizers(path: Path, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Fill the optimisers' states; they must have been made for the same parameters."""
    with safe_open(path, framework="pt") as file:
        for number, optimizer in enumerate(optimizers):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for key in _names(file, f"{OPTIMIZER}{number}."):
                index, name = key.split(".", 1)
                value = file.get_tensor(f"{OPTIMIZER}{number}.{key}")
                parameter = parameters[int(index)]
                state.setdefault(int(index), {})[name] = like(value, parameter) if value.shape == parameter.shape else value
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _names(file: safe_open, prefix: str) -> list[str]:
    return [key.removeprefix(prefix) for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
