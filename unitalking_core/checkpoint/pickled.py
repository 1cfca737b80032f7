"""Published pickles: read by the command line's converters alone, and never anything but tensors and numbers."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from .container import CheckpointError


def unpickle(path: Path, kind: str) -> Any:
    """What a pickle holds; `kind` names what is looked for. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"no such file: {path}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path.name} is refused: it holds more than tensors, and loading it could run code") from error
    # torch reads what is called .safetensors as such, whatever is in it.
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path.name} is cut short, damaged or no {kind}; fetch it again") from error
