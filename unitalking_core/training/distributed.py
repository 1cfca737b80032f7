"""One training over several processes: every parameter is sharded over all of them with torch's `fully_shard`, or every process has it all.

The processes are started by `torchrun` or `accelerate launch`; without them there is one process and nothing here changes anything. All
draw the same batch, each keeps its own rows, and losses are divided by what the whole batch generates: so the sum of all gradients is that
of one process (`fully_shard` takes the mean, hence the trainer's factor). Weights, gradients, optimiser states and averages are DTensors;
files hold whole tensors under their usual names.

A block is a unit of its own in each stream, gathered for its call and freed after it. So a stage that runs the audio stream alone never
gathers the video stream's blocks. Everything else (embeddings, heads, text encoder) stays gathered through a step.

Muon needs whole matrices. A run with such a stage keeps the whole model in each process: they add up their gradients and step alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..config import ConfigError
from .batches import Batch
from .config import TrainingConfig
from .objective import Learner, Losses


def processes() -> tuple[int, int]:
    """This process's rank and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def shards(config: TrainingConfig) -> bool:
    """Whether several processes share the parameters of this run: not where a stage needs whole matrices."""
    return all(stage.optimizer != "muon" for stage in config.stages)


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients of whole parameters by their sums over all processes; what has none anywhere keeps none. Collective."""
    trained = [p for p in parameters if p.requires_grad]
    present = torch.tensor([p.grad is not None for p in trained], dtype=torch.float32, device=trained[0].device)
    dist.all_reduce(present, dist.ReduceOp.MAX)
    found = [p for p, there in zip(trained, present.tolist(), strict=True) if there]
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in found])
    dist.all_reduce(flat)
    for parameter, summed in zip(found, flat.split([p.numel() for p in found]), strict=True):
        parameter.grad = summed.view_as(parameter)


def shard(learner: Learner, device: torch.device, precision: str) -> None:
    """Make every parameter of the learner, and what its blocks run through, sharded. Collective: all processes hold the same weights.

    Weights stay in float32 and are gathered as the precision says; gradients are summed in float32. Raises ConfigError where torch is too
    old, RuntimeError if a parameter stayed whole.
    """
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
        from torch.distributed.tensor import DTensor
    except ImportError as error:
        raise ConfigError(f"several processes need torch 2.6 or newer with torch.distributed; this is torch {torch.__version__}") from error
    mesh = init_device_mesh(device.type, (processes()[1],))
    gathered = torch.bfloat16 if precision == "bf16" else None
    # Autocast decides the precision of every operation, so that what enters a block is not cast here.
    policy = MixedPrecisionPolicy(param_dtype=gathered, reduce_dtype=torch.float32, cast_forward_inputs=False)
    transformer = learner.transformer
    blocks = (list(transformer.blocks), list(transformer.audio.blocks))
    for block in (*blocks[0], *blocks[1]):
        fully_shard(block, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
    fully_shard(learner, mesh=mesh, mp_policy=policy)
    learner.run_block = partial(_inside_units, blocks, learner.run_block)
    whole = [name for name, parameter in learner.named_parameters() if not isinstance(parameter, DTensor)]
    if whole:
        raise RuntimeError(f"{len(whole)} parameters are not sharded: {', '.join(whole[:3])}")


def _inside_units(
    blocks: tuple[list, list], inner: Callable | None, i: int, step: Callable, video: Tensor | None, audio: Tensor | None
) -> Any:
    """A transformer's `run_block`: run the step within the calls of the blocks that it uses, so that their weights are there.

    `inner` is the `run_block` there was before; it runs within, so that computing a block again finds its weights gathered.
    """
    run: Callable = step if inner is None else partial(inner, i, step)
    for tokens, stream in ((video, blocks[0]), (audio, blocks[1])):
        if tokens is not None:
            run = partial(stream[i], run)
    return run(video, audio)


def share(batch: Batch) -> Batch:
    """The rows of this process with their noise, every n-th of n processes, and a seed of its own for what else is drawn.

    Raises ConfigError for fewer rows than processes.
    """
    rank, count = processes()
    if count == 1:
        return batch
    if len(batch.tasks) < count:
        raise ConfigError(f"a batch of {len(batch.tasks)} rows cannot be shared by {count} processes; raise the stage's batch")
    return dataclasses.replace(batch.noised().rows(range(rank, len(batch.tasks), count)), seed=batch.seed + rank)


def joined(losses: Losses, batch: Batch) -> Losses:
    """The losses of all rows of the whole batch, in their order, from those of each process's `share`. Collective."""
    if processes()[1] == 1:
        return losses
    total = losses.total.detach().clone()
    dist.all_reduce(total)
    rows = len(batch.tasks)
    return Losses(total, _join_rows(losses.video, rows), _join_rows(losses.audio, rows), _join_rows(losses.likeness, rows))


def _join_rows(mine: Tensor | None, rows: int) -> Any:
    if mine is None:
        return None
    rank, count = processes()
    every = torch.zeros(rows, device=mine.device, dtype=torch.float32)
    every[rank::count] = mine.float()
    dist.all_reduce(every)
    return every


def anyone(flag: bool, device: torch.device) -> bool:
    """Whether the flag is up in any process: what ends the loop must end it in all. Collective."""
    if processes()[1] == 1:
        return flag
    flags = torch.tensor(float(flag), device=device)
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags)


def whole(tensor: Tensor) -> Tensor:
    """A tensor with all its parts. Collective where it is sharded."""
    if processes()[1] == 1:
        return tensor
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All tensors whole, on the CPU of the first process; the others help and get an empty dictionary. Collective."""
    keep = processes()[0] == 0
    found = {}
    for name, tensor in tensors.items():
        gathered = whole(tensor.detach())
        if keep:
            found[name] = gathered.cpu()
    return found


def like(tensor: Tensor, model: Tensor) -> Tensor:
    """A whole tensor that every process holds -> sharded as `model` is; no process asks another."""
    if processes()[1] == 1:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(model, DTensor):
        return tensor
    return distribute_tensor(tensor.to(model.device), model.device_mesh, model.placements, src_data_rank=None)
