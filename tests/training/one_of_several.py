"""What every process of a run over several processes does in `test_distributed`: train the toy for some steps."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from torch.distributed.tensor import DTensor
from training.toy import MODEL, TALK, VOICE, toy_config, write_store

from unitalking_core import checkpoint
from unitalking_core.training.config import Stage
from unitalking_core.training.run import ship
from unitalking_core.training.trainer import Trainer


def train(folder: Path, **wishes: object) -> Trainer:
    """Both stages of the toy in `folder`, whose latents are there; `wishes` are `until` and values of the configuration and its stages."""
    until = wishes.pop("until", None)
    of_stage = {name: wishes.pop(name) for name in list(wishes) if name in Stage.__dataclass_fields__}
    stages = [dataclasses.replace(stage, **{"optimizer": "adamw", **of_stage}) for stage in (VOICE, TALK)]
    config = toy_config(folder, *stages, log_every=1, **wishes)
    model = dataclasses.replace(MODEL)
    trainer = Trainer(config, model, lambda stage: write_store(folder / "latents"), lambda average, steps: ship(folder / "out.safetensors", model, average, {}))
    trainer.run(until)
    return trainer


if __name__ == "__main__":
    trainer = train(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    parameters = dict(trainer.learner.named_parameters())
    local = sum(p.to_local().numel() for p in parameters.values() if isinstance(p, DTensor))
    report = {
        "ranks": trainer.ranks,
        "parameters": len(parameters),
        "sharded": sum(isinstance(p, DTensor) for p in parameters.values()),
        "averages sharded": sum(isinstance(p, DTensor) for p in trainer.average.values()),
        "values": sum(p.numel() for p in parameters.values()),
        "values here": local,
    }
    Path(sys.argv[1], f"rank{trainer.rank}.json").write_text(json.dumps(report))
