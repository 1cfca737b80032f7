"""`python -m unitalking_core.training CONFIG`: codecs, latents, stages, shipped checkpoint; goes on where it was stopped."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Sequence

from .config import DEVICES, read_training_config
from .dry_run import describe
from .run import ONLY, run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Raises ConfigError, CorpusError or LatentsError for what cannot be trained."""
    parser = argparse.ArgumentParser(prog="unitalking train", description="Train a UniTalking model as a JSON file says.")
    parser.add_argument("config", help="training configuration, for example configs/nano/nano.json")
    parser.add_argument("--only", choices=ONLY, help="learn this codec, or encode the corpus, and stop")
    parser.add_argument("--until", type=int, metavar="N", help="stop after N steps in all; a later run goes on from there")
    parser.add_argument("--device", choices=DEVICES, help="in place of the configuration's")
    parser.add_argument("--dry-run", action="store_true", help="build nothing; say what each stage trains and the memory it needs")
    parser.add_argument("--ranks", type=int, default=1, metavar="N", help="processes that a dry run shares the model over")
    options = parser.parse_args(arguments)
    first = os.environ.get("RANK", "0") == "0"  # of several processes one tells
    logging.basicConfig(level=logging.INFO if first else logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    config = read_training_config(options.config)
    if options.device is not None:
        config = dataclasses.replace(config, device=options.device)
    if options.dry_run:
        sys.stdout.write(describe(config, options.ranks) + "\n")
        return
    run(config, options.only, options.until)


if __name__ == "__main__":
    main()
