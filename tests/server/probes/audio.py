"""An audio codec's file as a VAE, and what comes out of one."""

from __future__ import annotations

import importlib

import torch
from comfy_api.latest import io
from safetensors.torch import save_file

import nodes

from .output import output


class ProbeAudioCodec(io.ComfyNode):
    """An audio codec's file, through the pack's own function."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="ProbeAudioCodec", category="probe", inputs=[io.String.Input("path")], outputs=[io.Vae.Output()])

    @classmethod
    def execute(cls, path: str) -> io.NodeOutput:
        pack = nodes.NODE_CLASS_MAPPINGS["LoadUniTalkingModel"].__module__.rpartition(".")[0]
        return io.NodeOutput(importlib.import_module(f"{pack}.audio_codec").load_audio_codec(path))


class ProbeAudio(io.ComfyNode):
    """The waveform of an AUDIO, as a tensor."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeAudio", category="probe", is_output_node=True, inputs=[io.Audio.Input("audio"), io.String.Input("name")]
        )

    @classmethod
    def execute(cls, audio: dict, name: str) -> io.NodeOutput:
        content = {"waveform": audio["waveform"].contiguous().cpu().float(), "sample_rate": torch.tensor(audio["sample_rate"])}
        save_file(content, output(name, "safetensors"))
        return io.NodeOutput()
