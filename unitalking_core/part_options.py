"""The command line's options for public parts that a checkpoint names and does not hold."""

from __future__ import annotations

import argparse
from pathlib import Path

OPTIONS = (
    ("text_encoder", "text_encoder", "UMT5-XXL"),
    ("vae", "video_codec", "Wan2.2's VAE"),
    ("audio_codec", "audio_codec", "MMAudio's codec, converted"),
)
"""(option, the checkpoint's part, what it is)."""


def add_part_options(parser: argparse.ArgumentParser) -> None:
    """--text-encoder, --vae and --audio-codec."""
    for option, _, what in OPTIONS:
        parser.add_argument(f"--{option.replace('_', '-')}", type=Path, help=f"{what}: its file, where the checkpoint does not hold it")


def part_files(options: argparse.Namespace) -> dict[str, Path]:
    """{part: file} of those given, as `Pipeline.load` takes them."""
    return {part: getattr(options, option) for option, part, _ in OPTIONS if getattr(options, option) is not None}
