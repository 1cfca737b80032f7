"""`python -m unitalking_core.training CONFIG`: codecs, latents, stages, shipped checkpoint; goes on where it was stopped."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from .config import read_training_config
from .run import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m unitalking_core.training", description="Train a UniTalking model as a JSON file says.")
    parser.add_argument("config", help="training configuration, for example configs/nano/first_light.json")
    parser.add_argument("--only", choices=("audio-codec", "video-codec", "video-decoder"), help="learn this part and stop")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    run(read_training_config(options.config), options.only)


if __name__ == "__main__":
    main()
