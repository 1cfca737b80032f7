"""The trainer: runs the stages of a configuration, in order, and can be stopped and resumed at any step.

It is handed a store of latents and an `export` callback; it knows nothing of codecs or corpora.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ..config import ConfigError, ModelConfig
from . import distributed
from .batches import Batch, Batches, draw_ahead
from .config import Stage, TrainingConfig
from .journal import Journal
from .latents import Latents
from .likeness import Likeness
from .lora import add_adapters
from .objective import Learner, Losses, checkpointed, generated
from .optimizers import build_optimizers, learning_rate
from .precision import resolve
from .progress import open_progress
from .state import load_optimizers, load_start, load_state, load_warm_start, read_position, save_state

logger = logging.getLogger(__name__)

Export = Callable[[Mapping[str, Tensor], int], None]
"""Called with the averaged weights (names of `Learner`) and the number of steps made so far."""
Sample = Callable[[Mapping[str, Tensor], Stage, int], None]
"""Called, every `sample_every` steps, with the averaged weights, the stage and the number of steps made so far."""
OpenLikeness = Callable[[Latents], Likeness]
"""What stages with `like` compare voices with; called by one process after the other."""
STATE = "state.safetensors"


class Trainer:
    """One run. `open_store` is called at the start of each stage, so that a stage sees what the corpus has become."""

    def __init__(
        self,
        config: TrainingConfig,
        model: ModelConfig,
        open_store: Callable[[Stage], Latents],
        export: Export,
        sample: Sample | None = None,
        open_likeness: OpenLikeness | None = None,
    ) -> None:
        self.config, self.model_config, self.open_store, self.export, self.sample = config, model, open_store, export, sample
        self.open_likeness = open_likeness
        self.folder = Path(config.run)
        torch.manual_seed(config.seed)
        self.learner = Learner(model)
        if config.start:
            load_start(config.start, self.learner)
        if config.warm_start:
            logger.info("warm start from %s: %s", config.warm_start, load_warm_start(config.warm_start, self.learner))
        for stage in config.stages:
            if stage.lora is not None:
                add_adapters(self.learner, stage.lora)
        self.learner.run_block = checkpointed if config.checkpoint_activations else None
        self.accelerator = _accelerator(config)
        self.rank, self.ranks = distributed.processes()
        self.sharded = self.ranks > 1 and distributed.shards(config)
        if self.ranks > 1 and not self.sharded:
            logger.info("a stage uses Muon: every process has the whole model, and gradients are added up")
        if self.sharded:
            distributed.shard(self.learner, self.accelerator.device, resolve(config.precision, self.accelerator.device))
        else:
            self.learner.to(self.accelerator.device)
        if any(stage.keep for stage in config.stages):
            if self.sharded or not config.start:
                raise ConfigError("a stage with 'keep' needs a 'start' to keep to, and weights that are not sharded")
            self.learner.remember_start(lambda name: any(stage.trains(name) for stage in config.stages))
        likes = any(stage.like for stage in config.stages)
        if likes and (self.sharded or open_likeness is None or self.learner.text_encoder is None):
            raise ConfigError(
                "a stage with 'like' needs a corpus, not latents alone, a text encoder that learns, and weights that are not sharded"
            )
        self.average = {name: p.detach().clone() for name, p in self.learner.named_parameters()}
        self.stopping = False

    def run(self, until: int | None = None) -> bool:
        """Train to the end, or to `until` steps in all; resumes by itself. False when it stopped before the end."""
        state = self.folder / STATE
        position = {"stage": 0, "step": 0, "total": 0, "clips": None, "pending": None} | (read_position(state) or {})
        if state.is_file():
            load_state(state, self.learner, self.average)
        resumed = state.is_file()
        board, writes = self.config.tensorboard, self.accelerator.is_main_process
        self.journal = Journal(self.folder, position["total"], position["pending"], tensorboard=board, writes=writes)
        while position["stage"] < len(self.config.stages):
            stage = self.config.stages[position["stage"]]
            if not self._run_stage(stage, position, resumed and position["step"] > 0, until):
                return False
            position |= {"stage": position["stage"] + 1, "step": 0, "clips": None, "pending": None}
            save_state(state, self.learner, self.average, [], position)
        return True

    def _run_stage(self, stage: Stage, position: dict[str, Any], resumed: bool, until: int | None) -> bool:
        with self.accelerator.main_process_first():
            store = self.open_store(stage)
            if stage.like and self.open_likeness is not None:
                self.learner.likeness = self.open_likeness(store).to(self.accelerator.device)
        batches = Batches(
            store, stage, self.config.seed, self.model_config.timeline, self.model_config.audio.max_voice_tokens,
            self.learner.text_encoder, position["clips"],
        )  # fmt: skip
        position["clips"] = batches.clips
        optimizers = build_optimizers(self.learner, stage)
        if resumed:
            load_optimizers(self.folder / STATE, optimizers)
        model: torch.nn.Module = self.learner
        if self.ranks == 1:
            model = self.accelerator.prepare(self.learner)
            optimizers = [self.accelerator.prepare(optimizer) for optimizer in optimizers]
        logger.info(
            "stage %s: %d training clips, %.2fM parameters trained, from step %d of %d", stage.name, batches.in_training,
            sum(p.numel() for p in self.learner.parameters() if p.requires_grad) / 1e6, position["step"], stage.steps,
        )  # fmt: skip
        # From here on there are steps to save. Encoding, which may take hours, ends at once: a store only grows.
        previous = signal.signal(signal.SIGTERM, self._stop)
        try:
            return self._make_steps(model, optimizers, stage, batches, position, until)
        finally:
            signal.signal(signal.SIGTERM, previous)

    def _make_steps(
        self, model: torch.nn.Module, optimizers: list, stage: Stage, batches: Batches, position: dict[str, Any], until: int | None
    ) -> bool:
        ahead = (position["step"] * stage.accumulate, stage.steps * stage.accumulate)
        drawn = draw_ahead(batches, *ahead, self.config.workers, pinned=self.accelerator.device.type == "cuda")
        progress = open_progress(stage.name, position["step"], stage.steps, shown=self.rank == 0)
        while position["step"] < stage.steps:
            if distributed.anyone(self.stopping, self.accelerator.device) or (until is not None and position["total"] >= until):
                self._save(optimizers, position)
                progress.close()
                return False
            parts = [next(drawn) for _ in range(stage.accumulate)]
            losses, norm = self._step(model, optimizers, stage, parts, position["step"])
            self.journal.add(parts, losses, learning_rate(stage, position["step"]), norm)
            self._average(stage, position["step"])
            position["step"] += 1
            position["total"] += 1
            told = position["step"] % self.config.log_every == 0 or position["step"] == stage.steps
            progress.advance(self.journal.flush(stage.name, position["total"]) if told else None)
            if position["step"] % self.config.save_every == 0:
                self._save(optimizers, position)
            if position["total"] % self.config.export_every == 0:
                self._hand_average(self.export, position["total"])
            if self.sample is not None and self.config.sample_every and position["total"] % self.config.sample_every == 0:
                self._hand_average(self.sample, stage, position["total"])
        progress.close()
        self._hand_average(self.export, position["total"])
        return True

    def _step(self, model: torch.nn.Module, optimizers: list, stage: Stage, parts: list[Batch], step: int) -> tuple[list[Losses], Tensor]:
        """One step of the optimisers on all `parts` together, equal to one batch of all their rows: losses, and the gradient's norm."""
        counts, losses = generated(parts), []
        for part in parts:
            mine = distributed.share(part).to(self.accelerator.device)
            with self.accelerator.autocast():
                found = model(mine, stage.motion, stage.mouth, stage.loss_weights, counts, stage.look, stage.keep, stage.like)
            # `fully_shard` takes the mean over the processes, where the sum is meant.
            self.accelerator.backward(self.ranks * found.total if self.sharded else found.total)
            losses.append(distributed.joined(found, part))
        if self.ranks > 1 and not self.sharded:
            distributed.add_gradients(self.learner.parameters())
        norm = torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], stage.clip)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(stage, step)
            optimizer.step()
            optimizer.zero_grad()
        return losses, distributed.whole(norm)

    @torch.no_grad()
    def _average(self, stage: Stage, step: int) -> None:
        """Exponential moving average of what the stage trains; young averages follow faster."""
        decay = min(stage.ema, (1 + step) / (10 + step))
        pairs = [(self.average[name], p) for name, p in self.learner.named_parameters() if p.requires_grad]
        torch._foreach_lerp_([a for a, _ in pairs], [p for _, p in pairs], 1 - decay)

    def _hand_average(self, callback: Callable[..., None], *rest: Any) -> None:
        """Call with the averaged weights in the first process; the others help to gather them."""
        average = distributed.whole_tensors(self.average)
        if self.rank == 0:
            callback(average, *rest)

    def _save(self, optimizers: list, position: dict[str, Any]) -> None:
        position = position | {"pending": self.journal.pending()}
        save_state(self.folder / STATE, self.learner, self.average, [getattr(o, "optimizer", o) for o in optimizers], position)

    def _stop(self, *_: object) -> None:
        self.stopping = True


def uses_cpu(config: TrainingConfig) -> bool:
    return config.device == "cpu" or (config.device == "auto" and not torch.cuda.is_available())


def expected_device(config: TrainingConfig) -> torch.device:
    """That of the configuration; by itself CUDA, where it is there."""
    return torch.device("cpu" if uses_cpu(config) else "cuda" if config.device == "auto" else config.device)


def _accelerator(config: TrainingConfig) -> Accelerator:
    """On `expected_device`. Raises ConfigError for a device that is not there."""
    mixed = "bf16" if resolve(config.precision, expected_device(config)) == "bf16" else "no"
    accelerator = Accelerator(mixed_precision=mixed, cpu=uses_cpu(config))
    if config.device not in ("auto", accelerator.device.type):
        raise ConfigError(f"this machine has no device '{config.device}' for training; it has {accelerator.device.type}")
    return accelerator
