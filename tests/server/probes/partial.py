"""A MODEL with hardly any of its weights loaded: the host's way of running what does not fit on a card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import comfy.model_management
import torch
from comfy_api.latest import io

from .output import output
from .wan import distance, inputs


class ProbePartialLoad(io.ComfyNode):
    """How far the answers are apart, relative to their size, of the model loaded whole and loaded partially, and how much is left out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbePartialLoad", category="probe", is_output_node=True, inputs=[io.Model.Input("model"), io.String.Input("name")]
        )

    @classmethod
    def execute(cls, model: Any, name: str) -> io.NodeOutput:
        net = model.model.diffusion_model
        comfy.model_management.load_models_gpu([model], force_full_load=True)
        whole = cls._answer(model)
        model.unpatch_model(model.offload_device)
        model.load(model.load_device, lowvram_model_memory=1)
        left_out = [name for name, module in net.named_modules() if hasattr(module, "prev_comfy_cast_weights")]
        partial = cls._answer(model)
        model.unpatch_model(model.offload_device)
        report = {"left out": left_out, "distances": [distance(a, b) for a, b in zip(partial, whole, strict=True)]}
        Path(output(name, "json")).write_text(json.dumps(report))
        return io.NodeOutput()

    @staticmethod
    def _answer(model: Any) -> list[torch.Tensor]:
        dtype = model.model.get_dtype_inference()
        video, audio, text, voice = (x.to(dtype) for x in inputs(model.model.unitalking))
        times = torch.tensor([900.0, 250.0])
        return model.model.diffusion_model([video, audio], (times, times), text, voice=voice, voice_gate=torch.ones(2, dtype=dtype))
