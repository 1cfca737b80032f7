"""Whether a LoRA can change a UniTalking model at all: the host leaves out what does not match and says so in its log only."""

from __future__ import annotations

from typing import Any

import comfy.utils
from comfy.weight_adapter import LoRAAdapter

OURS = "diffusion_model."
"""Names that begin otherwise are the text encoder's: the host hands both to both."""
EXPECTED = "UniTalking takes LoRAs of Wan2.2 TI2V 5B, which act on the picture, and its own, which act on picture and sound"


def require_a_match(patches: dict[Any, Any], model: Any) -> None:
    """Raises ValueError where nothing of a LoRA is for this model, or its matrices are of another width.

    `patches`: what the host found for the names that the model has.
    """
    if not patches:
        raise ValueError(
            f"this LoRA changes nothing: none of its layers is one of this model's (the log lists them, 'lora key not loaded'). {EXPECTED}"
        )
    for key, patch in patches.items():
        made = _shape(patch)
        if made is None or not isinstance(key, str) or not key.startswith(OURS):
            continue
        wanted = tuple(comfy.utils.get_attr(model, key).shape)
        if len(wanted) == 2 and made != wanted:
            layer = key.removeprefix(OURS)
            raise ValueError(f"this LoRA is for a model of another size: its {layer} is {made}, this model's is {wanted}. {EXPECTED}")


def _shape(patch: Any) -> tuple[int, int] | None:
    """Of the matrix that a plain LoRA adds; None for other kinds of change."""
    if not isinstance(patch, LoRAAdapter):
        return None
    up, down, _, middle, _, reshape = patch.weights
    return (up.shape[0], down.shape[1]) if middle is None and reshape is None and up.ndim == down.ndim == 2 else None
