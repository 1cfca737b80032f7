"""The host's audio VAE of LTX-2.3, made small: a file of it, and what the host itself makes of that file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import comfy.sd
import comfy.utils
import torch
import torchaudio
from comfy.ldm.lightricks.vae.audio_vae import AudioVAE
from comfy_api.latest import io
from safetensors.torch import save_file

from .output import output

SIZES = {
    "double_z": True, "mel_bins": 64, "z_channels": 8, "resolution": 256, "downsample_time": False, "in_channels": 2, "out_ch": 2, "ch": 8,
    "ch_mult": [1, 2, 4], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0, "mid_block_add_attention": False,
    "norm_type": "pixel", "causality_axis": "height",
}  # fmt: skip
VOCODER = {"upsample_rates": [5, 4, 2, 2, 2], "upsample_kernel_sizes": [11, 8, 4, 4, 4], "upsample_initial_channel": 32}
CONFIG = {"audio_vae": {"model": {"params": {"ddconfig": SIZES, "sampling_rate": 16000}}}, "vocoder": VOCODER}


class ProbeLTXFile(io.ComfyNode):
    """Writes the file, in the layout of the published one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="ProbeLTXFile", category="probe", is_output_node=True, inputs=[io.String.Input("path")])

    @classmethod
    def execute(cls, path: str) -> io.NodeOutput:
        vae = AudioVAE(metadata={"config": CONFIG})
        generator = torch.Generator().manual_seed(0)
        state = {}
        for key, value in vae.state_dict().items():
            drawn = torch.randn(value.shape, generator=generator)
            fan = value[0].numel() if value.ndim > 1 else 1
            state[key.replace("autoencoder.", "audio_vae.")] = 1 + 0.1 * drawn if "std-of" in key else drawn / fan**0.5 * 0.7
        save_file(state, path, metadata={"config": json.dumps(CONFIG)})
        return io.NodeOutput()


class ProbeLTX(io.ComfyNode):
    """Largest differences between an audio VAE of the pack and the host's own, from the same file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeLTX",
            category="probe",
            is_output_node=True,
            inputs=[io.Vae.Input("audio_vae"), io.String.Input("path"), io.String.Input("name")],
        )

    @classmethod
    def execute(cls, audio_vae: Any, path: str, name: str) -> io.NodeOutput:
        state, metadata = comfy.utils.load_torch_file(path, return_metadata=True)
        host = comfy.sd.VAE(sd=comfy.utils.state_dict_prefix_replace(state, {"audio_vae.": "autoencoder."}), metadata=metadata)
        rate, made = audio_vae.audio_sample_rate, host.first_stage_model.output_sample_rate
        generator = torch.Generator().manual_seed(1)
        latent, sound = torch.randn(1, 8, 9, 16, generator=generator), torch.randn(1, 2, rate, generator=generator) * 0.1
        heard = torchaudio.functional.resample(host.decode(latent).movedim(-1, 1), made, rate)
        ours = audio_vae.decode_waveform(latent.transpose(2, 3).flatten(1, 2))
        wanted = host.first_stage_model.encode(sound, sample_rate=rate).transpose(2, 3).flatten(1, 2)
        got = audio_vae.encode(sound.movedim(1, -1))
        report = {
            "shapes": [list(ours.shape), list(got.shape)],
            "differences": [float((ours - heard).abs().max()), float((got - wanted).abs().max())],
            "sizes": [float(heard.abs().max()), float(wanted.abs().max())],
            "stereo": float((ours[:, 0] - ours[:, 1]).abs().max()),
        }
        Path(output(name, "json")).write_text(json.dumps(report))
        return io.NodeOutput()
