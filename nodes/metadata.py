"""What is embedded in a saved file so that dropping it on the canvas restores the graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from comfy.cli_args import args


def graph_metadata(hidden: Any) -> dict[str, Any] | None:
    """Workflow and prompt of the running graph; None where the host was told to leave metadata out."""
    if args.disable_metadata:
        return None
    metadata = dict(hidden.extra_pnginfo or {})
    if hidden.prompt is not None:
        metadata["prompt"] = hidden.prompt
    return metadata


def as_text(metadata: Mapping[str, Any] | None) -> dict[str, str] | None:
    """The same as JSON text by key, which is what a file's tags hold."""
    return None if metadata is None else {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
