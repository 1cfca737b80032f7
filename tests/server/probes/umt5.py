"""The host's own UMT5, at the sizes of a small file, and what it makes of prompts."""

from __future__ import annotations

import json

import comfy.text_encoders.wan
import torch
from comfy_api.latest import io
from safetensors.torch import load_file, save_file

from .output import output


class ProbeUMT5(io.ComfyNode):
    """Token ids (from the tokenizer inside the file) and rows of every prompt, as CLIPLoader's type wan computes them, in float32."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeUMT5",
            category="probe",
            is_output_node=True,
            inputs=[io.String.Input("path"), io.String.Input("sizes"), io.String.Input("texts"), io.String.Input("name")],
        )

    @classmethod
    def execute(cls, path: str, sizes: str, texts: str, name: str) -> io.NodeOutput:
        state = load_file(path)
        tokenizer = comfy.text_encoders.wan.WanT5Tokenizer(tokenizer_data={"spiece_model": state.pop("spiece_model")})
        encoder = comfy.text_encoders.wan.te()(dtype=torch.float32, model_options={"umt5xxl_model_config": json.loads(sizes)})
        missing, unexpected = encoder.load_sd(state)
        if missing or unexpected:
            raise ValueError(f"missing {missing}, unexpected {unexpected}")
        found = {}
        for i, text in enumerate(json.loads(texts)):
            tokens = tokenizer.tokenize_with_weights(text)
            found[f"ids.{i}"] = torch.tensor([token for token, _ in tokens["umt5xxl"][0]])
            found[f"rows.{i}"] = encoder.encode_token_weights(tokens)[0][0].contiguous()
        save_file(found, output(name, "safetensors"))
        return io.NodeOutput()
