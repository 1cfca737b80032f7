"""A wrong file is called by its name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoint.published import Shapes, manifest, small_wan, write_sparse
from safetensors.torch import save_file
from tiny import tiny_config, tiny_model

from unitalking_core.checkpoint import TRANSFORMER, config_tensor, detect, load, read_config, save
from unitalking_core.checkpoint.detection import UNITALKING, UNITALKING_BARE, identify
from unitalking_core.presets import ten_b, ten_b_16k
from unitalking_core.transformer import UniTalkingTransformer


def wan(dim: int, layers: int, channels: int, out: int = 16, *more: str) -> Shapes:
    """A Wan of this size, and what only its variant has."""
    shapes = small_wan(dim=dim, layers=1)
    shapes |= {f"blocks.{layers - 1}.modulation": (1, 6, dim)}
    shapes |= {"patch_embedding.weight": (dim, channels, 1, 2, 2), "head.head.weight": (out * 4, dim)}
    return shapes | dict.fromkeys(more, (1,))


NAMED: dict[str, tuple[str, Shapes]] = {
    "Wan2.2 5B": ("the transformer of Wan2.2-TI2V-5B", manifest("wan2.2_ti2v_5b")),
    "Wan2.2 5B, diffusers": ("the transformer of Wan2.2-TI2V-5B", manifest("wan2.2_ti2v_5b.diffusers")),
    "Wan2.1 14B": ("a Wan2.1 14B T2V model (or half of a Wan2.2 A14B)", wan(5120, 40, 16)),
    "Wan2.1 1.3B": ("a Wan2.1 1.3B T2V model", wan(1536, 30, 16)),
    "Wan2.1 I2V": ("a Wan2.1 14B I2V model", wan(5120, 40, 36, 16, "img_emb.proj.0.bias")),
    "Wan2.2 A14B I2V": ("half of a Wan2.2 A14B I2V model (14B)", wan(5120, 40, 36)),
    "VACE": ("a Wan 14B VACE model", wan(5120, 40, 16, 16, "vace_patch_embedding.weight")),
    "Fun control": ("a Wan 5B model with 148 channels in and 48 out", wan(3072, 30, 148, 48)),
    "saved by the host": (
        "the transformer of Wan2.2-TI2V-5B",
        {f"model.diffusion_model.{key}": shape for key, shape in manifest("wan2.2_ti2v_5b").items()},
    ),
    "Ovi": ("an Ovi model", manifest("ovi_fusion_11b")),
    "NAVA": ("a NAVA model", {"patch_embedding_audio.0.weight": (3072, 128, 7), "head.modulation": (1, 2, 3072)}),
    "Wan2.2 VAE": ("Wan2.2's video VAE", {"conv2.weight": (48, 48, 1, 1, 1), "decoder.middle.0.residual.0.gamma": (1024, 1, 1, 1)}),
    "Wan2.1 VAE": ("Wan2.1's video VAE", {"conv2.weight": (16, 16, 1, 1, 1), "decoder.middle.0.residual.0.gamma": (384, 1, 1, 1)}),
    "UMT5": ("a UMT5 text encoder", {"encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight": (32, 64)}),
    "UMT5, Wan's own": (
        "a UMT5 text encoder in Wan's own layout",
        {"blocks.1.pos_embedding.embedding.weight": (32, 64), "token_embedding.weight": (256384, 4096)},
    ),
    "T5": ("a T5 text encoder", {"encoder.block.0.layer.0.SelfAttention.q.weight": (4096, 4096)}),
    "MMAudio 44k": ("MMAudio's audio codec for 44.1 kHz (128 mel bands)", {"audio_codec.vae.data_mean": (1, 128, 1)}),
    "MMAudio 16k": ("MMAudio's audio codec for 16 kHz (80 mel bands)", {"vae.data_mean": (1, 80, 1)}),
    "BigVGAN": ("a BigVGAN vocoder", {"resblocks.0.activations.0.act.alpha": (768,)}),
    "LTX": (
        "an LTX-Video model",
        {"model.diffusion_model.adaln_single.linear.weight": (24576, 4096), "vae.decoder.conv_in.conv.weight": (1,)},
    ),
    "LTX-2": (
        "an LTX-2 audio-video model",
        {"model.diffusion_model.adaln_single.linear.weight": (1,), "model.diffusion_model.audio_adaln_single.linear.weight": (1,)},
    ),
    "SDXL": (
        "an SDXL checkpoint",
        {"conditioner.embedders.1.model.ln_final.weight": (1280,), "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3)},
    ),
    "SD 1.5": (
        "a Stable Diffusion 1 or 2 checkpoint",
        {"cond_stage_model.transformer.x": (1,), "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3)},
    ),
    "Flux": ("a Flux model", {"double_blocks.0.img_attn.qkv.weight": (1,), "single_blocks.0.linear1.weight": (1,)}),
    "LoRA": ("a LoRA, which is applied to a model and is none", {"diffusion_model.blocks.0.self_attn.q.lora_A.weight": (16, 3072)}),
    "LoRA, kohya": ("a LoRA, which is applied to a model and is none", {"lora_unet_blocks_0_self_attn_q.lora_down.weight": (16, 3072)}),
    "state": (
        "a training run's saved state; use the checkpoint that the run exported",
        {"average.transformer.x": (1,), "optimizer0.0.step": ()},
    ),
    "a codec of ours": ("a codec or text encoder of UniTalking without its transformer", {"video_codec.encoder.x": (1,)}),
    "another": ("no model that is known here (1 tensors, the first is 'x')", {"x": (1,)}),
}


@pytest.mark.parametrize("case", NAMED)
def test_files_are_called_by_their_names(case: str) -> None:
    title, shapes = NAMED[case]
    assert identify(shapes).title == title


def test_our_own_files_are_known_with_and_without_their_configuration(tmp_path: Path) -> None:
    save(tmp_path / "tiny.safetensors", tiny_config(), {TRANSFORMER: tiny_model().state_dict()})
    assert detect(tmp_path / "tiny.safetensors").kind == UNITALKING
    bare = {f"model.diffusion_model.{key}": value for key, value in tiny_model().state_dict().items()}
    save_file(bare, tmp_path / "bare.safetensors")
    assert detect(tmp_path / "bare.safetensors").kind == UNITALKING_BARE
    save_file({**bare, "unitalking_config": config_tensor(tiny_config())}, tmp_path / "host.safetensors")
    assert detect(tmp_path / "host.safetensors").kind == UNITALKING
    assert read_config(tmp_path / "host.safetensors") == tiny_config()


@pytest.mark.parametrize("preset", [ten_b, ten_b_16k])
def test_a_full_size_model_tells_its_configuration_by_its_weights(preset: type, tmp_path: Path) -> None:
    """A file whose metadata and configuration tensor were both lost."""
    config = preset()
    shapes = {
        f"model.diffusion_model.{key}": tuple(w.shape) for key, w in UniTalkingTransformer(config, device="meta").state_dict().items()
    }
    path = write_sparse(tmp_path / "bare.safetensors", shapes)
    assert read_config(path) == config
    assert load(path).part(TRANSFORMER)["blocks.29.ffn.0.weight"].dtype == torch.bfloat16
