"""What the host's own models of text and pictures are made of, built without memory."""

from __future__ import annotations

import json
from pathlib import Path

import comfy.ldm.wan.vae2_2
import comfy.text_encoders.wan
import torch
from comfy_api.latest import io

from .output import output


class ProbeHostModels(io.ComfyNode):
    """Names and shapes of the weights of UMT5-XXL and of Wan2.2's VAE, as CLIPLoader and VAELoader build them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="ProbeHostModels", category="probe", is_output_node=True, inputs=[io.String.Input("name")])

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        with torch.device("meta"):
            text = comfy.text_encoders.wan.te()(device="meta", dtype=torch.float16)
            vae = comfy.ldm.wan.vae2_2.WanVAE(
                dim=160, z_dim=48, dim_mult=[1, 2, 4, 4], num_res_blocks=2, attn_scales=[], temperal_downsample=[False, True, True]
            )
        models = {"umt5-xxl": text.umt5xxl.transformer, "wan2.2-vae": vae}
        shapes = {title: {key: list(w.shape) for key, w in model.state_dict().items()} for title, model in models.items()}
        Path(output(name, "json")).write_text(json.dumps(shapes))
        return io.NodeOutput()
