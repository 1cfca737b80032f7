"""The host's own Wan model beside a UniTalking MODEL that holds the same weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import comfy.ldm.wan.model
import comfy.model_management
import comfy.ops
import torch
from comfy_api.latest import io
from torch import Tensor

from .output import output


class ProbeWan(io.ComfyNode):
    """How far UniTalking's video stream is from Wan's answer, relative to the answer's size, for several timesteps and company."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeWan", category="probe", is_output_node=True, inputs=[io.Model.Input("model"), io.String.Input("name")]
        )

    @classmethod
    def execute(cls, model: Any, name: str) -> io.NodeOutput:
        comfy.model_management.load_models_gpu([model], force_full_load=True)
        net, config = model.model.diffusion_model, model.model.unitalking
        wan, tasks = host_wan(net, config), sys.modules[type(net).__module__]
        video, audio, text, voice = inputs(config)
        times = {"scalar": torch.tensor([900.0, 250.0]), "per frame": torch.tensor([[0.0, 900.0, 900.0], [0.0, 40.0, 700.0]])}
        report = {}
        for label, t in times.items():
            answer = wan(video, t, context=text)
            t_audio = torch.tensor([900.0, 250.0])
            voiceless = {"voice": voice, "voice_gate": torch.zeros(2)}
            report[label] = {
                "alone": distance(net(video, t, text, **voiceless), answer),
                "apart": distance(net([video, audio], (t, t_audio), text, visibility=tasks.APART, **voiceless)[0], answer),
                "joint": distance(net([video, audio], (t, t_audio), text, visibility=tasks.JOINT, **voiceless)[0], answer),
            }
        Path(output(name, "json")).write_text(json.dumps(report))
        return io.NodeOutput()


def host_wan(net: torch.nn.Module, config: Any) -> torch.nn.Module:
    """The host's WanModel with the weights of the video stream; every one of its parameters is given."""
    c = config.transformer
    sizes = {"dim": c.dim, "ffn_dim": c.ffn_dim, "freq_dim": c.freq_dim, "text_dim": c.text_dim}
    wan = comfy.ldm.wan.model.WanModel(
        in_dim=config.video.channels,
        out_dim=config.video.channels,
        num_heads=c.heads,
        num_layers=c.layers,
        cross_attn_norm=True,
        dtype=torch.float32,
        operations=comfy.ops.disable_weight_init,
        **sizes,
    )
    own = {key.replace("modulation.weight", "modulation"): value for key, value in net.state_dict().items()}
    wan.load_state_dict({key: value for key, value in own.items() if not key.startswith(("audio.", "voice_")) and "_voice" not in key})
    return wan


def inputs(config: Any) -> tuple[Tensor, ...]:
    """Noise in the shapes of two rows of video, audio, text and voice."""
    audio = config.audio.channels
    shapes = ((2, config.video.channels, 3, 8, 6), (2, audio, 17), (2, 20, config.transformer.text_dim), (2, audio, 9))
    return tuple(torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))) for shape in shapes)


def distance(got: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((got - expected).abs().max() / expected.abs().max())
