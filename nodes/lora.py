"""Whether a LoRA can change a UniTalking model at all: the host leaves out what does not match and says so in its log only."""

from __future__ import annotations

from typing import Any

from comfy.weight_adapter import LoRAAdapter

EXPECTED = "UniTalking takes LoRAs of Wan2.2 TI2V 5B, which act on the picture, and its own, which act on picture and sound"


def require_a_match(patches: dict[Any, Any], model: Any) -> None:
    """Raises ValueError where nothing of a LoRA is for this model, or its matrices are of another width.

    `patches`: what the host found for the names that the model has.
    """
    if not patches:
        raise ValueError(
            f"this LoRA changes nothing: none of its layers is one of this model's (the log lists them, 'lora key not loaded'). {EXPECTED}"
        )
    for key, shape, wanted in _misfits(patches, model):
        raise ValueError(f"this LoRA is for a model of another size: its {key} is {shape}, this model's is {wanted}. {EXPECTED}")


def _misfits(patches: dict[Any, Any], model: Any) -> Any:
    weights = dict(model.named_parameters())
    for key, patch in patches.items():
        weight = weights.get(key)
        if weight is None or not isinstance(patch, LoRAAdapter) or patch.weights[3] is not None or patch.weights[5] is not None:
            continue
        up, down = patch.weights[0], patch.weights[1]
        if up.ndim == down.ndim == weight.ndim == 2 and (up.shape[0], down.shape[1]) != tuple(weight.shape):
            yield key.removeprefix("diffusion_model."), (up.shape[0], down.shape[1]), tuple(weight.shape)
