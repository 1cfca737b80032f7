"""Ablations: `python -m unitalking_core.evaluation.ablations configs/ablations --out runs/ablations` trains, measures and tells them all.

Every file of the folder is one training; rows that differ in sampling alone use the baseline's checkpoint. What was trained or measured
is not done again: a run that was stopped goes on where it stood. docs/ablations.md says what each row asks.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..checkpoint import TRANSFORMER, load
from ..config import ConfigError
from ..tasks import APART, Visibility
from ..training.config import TrainingConfig, read_training_config
from ..training.latents import LatentStore
from ..training.run import run
from .ablation_table import table
from .heldout import HeldOut

logger = logging.getLogger(__name__)
BASELINE = "baseline"


@dataclass(frozen=True)
class Setting:
    """How a checkpoint is used while it is measured; `visibility` None leaves each task its own."""

    name: str = ""
    visibility: Visibility | None = None
    sync: float = 0.0


AS_TRAINED = Setting()
SAMPLING = (Setting("streams apart when used", APART), Setting("sync guidance", sync=1.0))
"""What is asked of the baseline's checkpoint besides."""
Measure = Callable[[Path, LatentStore, Setting, int], Mapping[str, list[float]]]
"""(checkpoint, store, setting, clips) -> for each measure one value a clip."""


def measure_on_latents(path: Path, store: LatentStore, setting: Setting, clips: int) -> dict[str, list[float]]:
    """The measures of `heldout`. Guidance does not enter a loss, so a setting with guidance has sampled measures only."""
    held_out = HeldOut(load(path), store, clips)
    found: dict[str, list[float]] = {}
    if not setting.sync:
        for task in ("TIR2AV", "A2V", "TV2A", "T2A"):
            found |= {f"{task} {stream} loss": values for stream, values in held_out.losses(task, setting.visibility).items()}
        other = held_out.losses("A2V", setting.visibility, other_sound=True)["video"]
        found["A2V cost of another's sound"] = [b - a for a, b in zip(found["A2V video loss"], other, strict=True)]
    found["A2V motion"] = held_out.motion(setting.visibility, sync=setting.sync)
    found["A2V motion, another's sound"] = held_out.motion(setting.visibility, sync=setting.sync, other_sound=True)
    return found


def run_ablations(
    folder: Path, out: Path, seeds: Sequence[int], *, clips: int, codecs_from: str = "", measure: Measure = measure_on_latents
) -> str:
    """Train and measure whatever is not done yet; returns the table, which is also written to `out`/table.md.

    Raises ConfigError for a folder without a baseline, or where `out` holds a run of another configuration under the same name.
    """
    paths = sorted(folder.glob("*.json"), key=lambda path: (path.stem != BASELINE, path.stem))
    if not paths or paths[0].stem != BASELINE:
        raise ConfigError(f"{folder} has no {BASELINE}.json to compare with")
    results: list[dict] = []
    for seed in seeds:
        for path in paths:
            config = read_training_config(path)
            place = out / f"{path.stem}-seed{seed}"
            config = dataclasses.replace(
                config, seed=seed, run=str(place), export=str(place / "model.safetensors"), codecs_from=codecs_from or config.codecs_from
            )
            if not _trained(config, place):
                return table(results)
            for setting in (AS_TRAINED, *SAMPLING) if path.stem == BASELINE else (AS_TRAINED,):
                results.append({"row": setting.name or path.stem, "seed": seed, **_measured(config, setting, clips, measure)})
                (out / "table.md").write_text(table(results), encoding="utf-8")
    return table(results)


def sampling_ablations(checkpoint: Path, latents: Path, out: Path, *, clips: int, measure: Measure = measure_on_latents) -> str:
    """The rows that differ in sampling alone, of any checkpoint, such as one that was trained for long; returns the table, as above.

    Raises ConfigError where there are no latents.
    """
    if not latents.is_dir():
        raise ConfigError(f"no latents at {latents}: name the run that has them with --codecs-from")
    store, results = LatentStore(latents), []
    for setting in (AS_TRAINED, *SAMPLING):
        logger.info("measuring %s %s", checkpoint.name, setting.name)
        results.append({"row": setting.name or BASELINE, "seed": 0, **_measures(checkpoint, store, setting, clips, measure)})
        out.mkdir(parents=True, exist_ok=True)
        (out / "table.md").write_text(table(results), encoding="utf-8")
    return table(results)


def _trained(config: TrainingConfig, place: Path) -> bool:
    """Train or go on training; False when it was stopped."""
    noted, said = place / "config.json", json.dumps(dataclasses.asdict(config), indent=2)
    if noted.is_file() and noted.read_text(encoding="utf-8") != said:
        raise ConfigError(f"{place} holds a run of another configuration; remove it, or name another folder with --out")
    place.mkdir(parents=True, exist_ok=True)
    noted.write_text(said, encoding="utf-8")
    logger.info("%s", place.name)
    return run(config)


def _measured(config: TrainingConfig, setting: Setting, clips: int, measure: Measure) -> dict:
    """{"parameters": ..., "steps": ..., "measures": ...}, read where it was measured before with as many clips."""
    checkpoint = Path(config.export)
    kept = checkpoint.with_name(f"measures{setting.name and '-'}{setting.name.replace(' ', '_')}.json")
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["clips"] == clips:
            return found
    logger.info("measuring %s %s", checkpoint.parent.name, setting.name)
    store = LatentStore(Path(config.codecs_from or config.run) / "latents")
    found = {"clips": clips, "steps": sum(stage.steps for stage in config.stages), **_measures(checkpoint, store, setting, clips, measure)}
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


def _measures(checkpoint: Path, store: LatentStore, setting: Setting, clips: int, measure: Measure) -> dict:
    """{"parameters": ..., "measures": ...}."""
    parameters = sum(value.numel() for value in load(checkpoint).part(TRANSFORMER).values())
    with torch.no_grad():
        return {"parameters": parameters, "measures": measure(checkpoint, store, setting, clips)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m unitalking_core.evaluation.ablations", description="Train, measure and compare.")
    parser.add_argument("configs", type=Path, nargs="?", help="folder of training configurations, one of them baseline.json")
    parser.add_argument("--checkpoint", type=Path, help="in place of configs: the rows that differ in sampling alone, of this checkpoint")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="train everything once with each (default: 0)")
    parser.add_argument("--clips", type=int, default=100, help="held-out clips to measure on (default: %(default)s)")
    parser.add_argument("--codecs-from", default="", help="the run whose codecs and latents are used (default: as the configurations say)")
    arguments = parser.parse_args()
    if (arguments.configs is None) == (arguments.checkpoint is None):
        parser.error("name a folder of configurations, or --checkpoint with the run that has the latents as --codecs-from")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    out, clips, codecs_from = arguments.out, arguments.clips, arguments.codecs_from
    try:
        if arguments.checkpoint is not None:
            latents = Path(codecs_from or "runs/nano") / "latents"
            told = sampling_ablations(arguments.checkpoint, latents, out / arguments.checkpoint.stem, clips=clips)
        else:
            told = run_ablations(arguments.configs, out, arguments.seeds, clips=clips, codecs_from=codecs_from)
    except (ValueError, OSError) as error:
        parser.exit(1, f"ablations: {error}\n")
    logging.info("\n%s", told)


if __name__ == "__main__":
    main()
