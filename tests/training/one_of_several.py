"""What every process of a run over several processes does in `test_distributed`: train the toy and tell how it is held."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from torch.distributed.tensor import DTensor
from training.toy import MODEL, TALK, VOICE, toy_config, write_store

from unitalking_core.training.config import Stage
from unitalking_core.training.run import ship
from unitalking_core.training.trainer import Trainer


def train(folder: Path, until: int | None = None, **wishes: object) -> Trainer:
    """Both stages of the toy in `folder`; `wishes` are values of the configuration and of its stages."""
    of_stages = {"optimizer": "adamw"} | {name: wishes.pop(name) for name in list(wishes) if name in Stage.__dataclass_fields__}
    config = toy_config(folder, *(dataclasses.replace(stage, **of_stages) for stage in (VOICE, TALK)), log_every=1, **wishes)
    out = str(folder / "out.safetensors")
    trainer = Trainer(config, MODEL, lambda _: write_store(folder / "latents"), lambda average, _: ship(out, MODEL, average, {}))
    trainer.run(until)
    return trainer


if __name__ == "__main__":
    where, wished = Path(sys.argv[1]), json.loads(sys.argv[2])
    made = train(where, **wished)
    held = [*made.learner.parameters(), *made.average.values()]
    report = {
        "ranks": made.ranks,
        "sharded": all(isinstance(tensor, DTensor) for tensor in held),
        "values": sum(tensor.numel() for tensor in held),
        "values here": sum(tensor.to_local().numel() for tensor in held if isinstance(tensor, DTensor)),
        "weights": [float(p.detach().double().sum()) for p in made.learner.parameters()] if not made.sharded else [],
    }
    (where / f"rank{made.rank}.json").write_text(json.dumps(report))
