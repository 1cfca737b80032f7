"""The names that published files give to the weights of a Wan transformer, and our names for the same.

- original: Wan's own code, as in Wan-AI/Wan2.2-TI2V-5B (three shards) and in the ComfyUI repackaging (one file);
- diffusers: the class WanTransformer3DModel, as in Wan-AI/Wan2.2-TI2V-5B-Diffusers;
- Ovi: the original names twice, under `video_model.` and `audio_model.`, with `modulation.modulation` in the blocks;
- ours: the original names, but `modulation` is a layer (`modulation.weight`); the twin's are under `audio.`.

Files that a host saved carry `model.diffusion_model.` before all names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HOST_PREFIX = "model.diffusion_model."
ORIGINAL, DIFFUSERS = "original", "diffusers"
OVI_VIDEO, OVI_AUDIO = "video_model.", "audio_model."
VOICE_PARTS = ("voice_embedding.", ".k_voice.", ".v_voice.", ".norm_k_voice.")
"""Parts of a name that only layers of the reference voice have; no Wan model has them."""

_DIFFUSERS = (
    (r"^condition_embedder\.time_embedder\.linear_1\.", "time_embedding.0."),
    (r"^condition_embedder\.time_embedder\.linear_2\.", "time_embedding.2."),
    (r"^condition_embedder\.time_proj\.", "time_projection.1."),
    (r"^condition_embedder\.text_embedder\.linear_1\.", "text_embedding.0."),
    (r"^condition_embedder\.text_embedder\.linear_2\.", "text_embedding.2."),
    (r"^scale_shift_table$", "head.modulation"),
    (r"^proj_out\.", "head.head."),
    (r"^(blocks\.\d+)\.scale_shift_table$", r"\1.modulation"),
    (r"^(blocks\.\d+)\.norm2\.", r"\1.norm3."),
    (r"^(blocks\.\d+)\.ffn\.net\.0\.proj\.", r"\1.ffn.0."),
    (r"^(blocks\.\d+)\.ffn\.net\.2\.", r"\1.ffn.2."),
    (r"^(blocks\.\d+)\.attn1\.to_out\.0\.", r"\1.self_attn.o."),
    (r"^(blocks\.\d+)\.attn2\.to_out\.0\.", r"\1.cross_attn.o."),
    (r"^(blocks\.\d+)\.attn1\.to_([qkv])\.", r"\1.self_attn.\2."),
    (r"^(blocks\.\d+)\.attn2\.to_([qkv])\.", r"\1.cross_attn.\2."),
    (r"^(blocks\.\d+)\.attn1\.", r"\1.self_attn."),
    (r"^(blocks\.\d+)\.attn2\.", r"\1.cross_attn."),
)
_RULES = tuple((re.compile(pattern), replacement) for pattern, replacement in _DIFFUSERS)


def layout_of(names: Iterable[str]) -> str:
    """ORIGINAL or DIFFUSERS, of a Wan transformer's names."""
    return DIFFUSERS if any(name.removeprefix(HOST_PREFIX).startswith("condition_embedder.") for name in names) else ORIGINAL


def original_name(name: str, layout: str) -> str:
    """Wan's own name of a weight that a file in `layout` calls `name`."""
    name = name.removeprefix(HOST_PREFIX)
    if layout == DIFFUSERS:
        for pattern, replacement in _RULES:
            name, changed = pattern.subn(replacement, name)
            if changed:
                break
    return name


def our_name(original: str) -> str:
    """Wan's (or Ovi's, without its prefix) own name -> ours."""
    name = original.replace(".modulation.modulation", ".modulation")
    return f"{name}.weight" if name.endswith(".modulation") else name


def is_voice(name: str) -> bool:
    """Whether a weight (our name, of either stream) belongs to the voice branch."""
    return any(part in f".{name}" for part in VOICE_PARTS)
