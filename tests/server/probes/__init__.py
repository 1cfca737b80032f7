"""A node pack for tests only: writes what flows between nodes into files that a test can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import comfy.model_management
import torch
from comfy.patcher_extension import WrappersMP
from comfy_api.latest import ComfyExtension, io
from safetensors.torch import save_file
from torch import Tensor

from .audio import ProbeAudio, ProbeAudioCodec
from .host_models import ProbeHostModels
from .ltx import ProbeLTX, ProbeLTXFile
from .memory import ProbeMemory
from .output import output
from .partial import ProbePartialLoad
from .umt5 import ProbeUMT5
from .wan import ProbeWan


class ProbeLatent(io.ComfyNode):
    """The streams of a LATENT, and of its mask where it has one, as tensors."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeLatent", category="probe", is_output_node=True, inputs=[io.Latent.Input("latent"), io.String.Input("name")]
        )

    @classmethod
    def execute(cls, latent: dict, name: str) -> io.NodeOutput:
        tensors = {}
        for key in ("samples", "noise_mask"):
            if key in latent:
                streams = latent[key].unbind() if getattr(latent[key], "is_nested", False) else [latent[key]]
                tensors.update({f"{key}.{i}": stream.contiguous().cpu().float() for i, stream in enumerate(streams)})
        info = latent.get("unitalking")
        save_file(tensors, output(name, "safetensors"), metadata={"frames": str(info.frames if info else None)})
        return io.NodeOutput()


class ProbeMedia(io.ComfyNode):
    """IMAGE and AUDIO as tensors."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeMedia",
            category="probe",
            is_output_node=True,
            inputs=[io.String.Input("name"), io.Image.Input("images", optional=True), io.Audio.Input("audio", optional=True)],
        )

    @classmethod
    def execute(cls, name: str, images: Tensor | None = None, audio: dict | None = None) -> io.NodeOutput:
        tensors = {} if images is None else {"images": images.contiguous()}
        if audio is not None:
            tensors |= {"waveform": audio["waveform"].contiguous(), "sample_rate": torch.tensor(audio["sample_rate"])}
        save_file(tensors, output(name, "safetensors"))
        return io.NodeOutput()


class ProbeModel(io.ComfyNode):
    """Which weights of a MODEL are patched, and what its parameters add up to once it is loaded."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeModel", category="probe", is_output_node=True, inputs=[io.Model.Input("model"), io.String.Input("name")]
        )

    @classmethod
    def execute(cls, model: object, name: str) -> io.NodeOutput:
        comfy.model_management.load_models_gpu([model], force_full_load=True)
        state = model.model.diffusion_model.state_dict()
        report = {
            "patched": sorted(key.removeprefix("diffusion_model.") for key in model.patches),
            "sums": {key: value.double().sum().item() for key, value in state.items()},
            "dtypes": sorted({str(value.dtype) for value in state.values()}),
            "bytes": model.model_size(),
        }
        Path(output(name, "json")).write_text(json.dumps(report))
        return io.NodeOutput()


class ProbePasses(io.ComfyNode):
    """The MODEL as it came; how many rows each call of its transformer has goes into a file, a line for each call."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbePasses",
            category="probe",
            inputs=[io.Model.Input("model"), io.String.Input("name")],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model: Any, name: str) -> io.NodeOutput:
        path = Path(output(name, "txt"))
        path.write_text("")

        def count(executor: Any, x: Any, *args: Any) -> Any:
            with path.open("a") as file:
                file.write(f"{len(x[0])}\n")
            return executor(x, *args)

        model = model.clone()
        model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "probe", count)
        return io.NodeOutput(model)


class Probes(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            ProbeLatent, ProbeMedia, ProbeModel, ProbePasses, ProbeWan, ProbeMemory, ProbePartialLoad, ProbeAudioCodec, ProbeAudio,
            ProbeHostModels, ProbeUMT5, ProbeLTXFile, ProbeLTX,
        ]  # fmt: skip


async def comfy_entrypoint() -> Probes:
    return Probes()
