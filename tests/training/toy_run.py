"""`python toy_run.py FOLDER`: a toy run in a process of its own, which a test can kill."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch
from training.toy import MODEL, TALK, VOICE, toy_config, write_store

from unitalking_core.training.trainer import Trainer

STAGES = (dataclasses.replace(VOICE, steps=15, schedule="cosine"), dataclasses.replace(TALK, steps=20, accumulate=2))
LOG_EVERY, SAVE_EVERY = 2, 3


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    config = toy_config(folder, *STAGES, log_every=LOG_EVERY, save_every=SAVE_EVERY)
    store = write_store(folder / "latents", long=4, speech=2)
    Trainer(config, MODEL, lambda stage: store, lambda average, steps: None).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
