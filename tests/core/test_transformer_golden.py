"""The video stream is Wan2.2's own transformer, number for number; the cross-attention is the published two-condition form."""

from __future__ import annotations

import json

import pytest
import torch
from reference import GOLDEN, fill, golden, unit_normal
from tiny import tiny_config

from unitalking_core.rope import audio_angles, axis_angles, rotate, tables, video_angles
from unitalking_core.transformer import Operations, UniTalkingTransformer
from unitalking_core.transformer.attention import DualCrossAttention
from unitalking_core.transformer.operations import attend
from unitalking_core.transformer.stream import timestep_features

DIT = {"atol": 5e-5, "rtol": 1e-4}
ROPE = {"atol": 1e-6, "rtol": 0}


@pytest.fixture(scope="module")
def wan() -> UniTalkingTransformer:
    raw = json.loads((GOLDEN / "wan_dit_tiny.config.json").read_text())
    model = UniTalkingTransformer(
        tiny_config(
            layers=raw["num_layers"],
            dim=raw["dim"],
            heads=raw["num_heads"],
            ffn_dim=raw["ffn_dim"],
            text_dim=raw["text_dim"],
            freq_dim=raw["freq_dim"],
            video_channels=raw["in_dim"],
        )
    )
    fill(model)
    return model.eval()


def test_the_fill_rule_is_the_references() -> None:
    for key, want in json.loads((GOLDEN / "fill_check.json").read_text()).items():
        n = unit_normal(key, tuple(want["shape"]))
        torch.testing.assert_close(n.flatten()[:4], torch.tensor(want["first4_of_unit_normal"])[: n.numel()], atol=1e-6, rtol=0)
        assert n.double().sum().item() == pytest.approx(want["sum"], abs=1e-2)


@pytest.mark.parametrize(
    ("t", "context", "out"),
    [
        ("t_scalar", "context", "out_scalar"),
        ("t_per_frame", "context", "out_per_frame"),
        ("t_per_token", "context", "out_per_frame"),
        ("t_per_token_random", "context", "out_per_token_random"),
        ("t_scalar", "context_padded", "out_scalar_context_padded"),
    ],
)
@torch.no_grad()
def test_the_video_stream_alone_equals_wan(wan: UniTalkingTransformer, t: str, context: str, out: str) -> None:
    g = golden("wan_dit_tiny")
    got, audio = wan(g["x"], None, g[t], None, wan.prepare(g[context]))
    assert audio is None
    torch.testing.assert_close(got, g[out], **DIT)


@torch.no_grad()
def test_inner_taps_equal_wan(wan: UniTalkingTransformer) -> None:
    g = golden("wan_dit_tiny")
    torch.testing.assert_close(wan.patch_embedding(g["x"]), g["tap.scalar.patch_embedding"], **DIT)
    torch.testing.assert_close(wan.text_embedding(g["context"]), g["tap.scalar.text_embedding"], **DIT)
    e, projected = wan.embed_time(g["t_per_frame"], torch.float32)
    torch.testing.assert_close(e[0], g["tap.per_frame.time_embedding"], **DIT)
    torch.testing.assert_close(projected.flatten(2), g["tap.per_frame.time_projection"], **DIT)
    taps = []
    hooks = [block.cross_attn.register_forward_hook(lambda _m, _i, o: taps.append(o)) for block in wan.blocks]
    wan(g["x"], None, g["t_scalar"], None, wan.prepare(g["context"]))
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(taps[0], g["tap.scalar.block0_cross_attn_out"], **DIT)


def test_time_features() -> None:
    g = golden("wan_dit_tiny")
    torch.testing.assert_close(timestep_features(g["sinusoid_t"], 256), g["sinusoid_f64_as_f32"], **ROPE)


def test_rope_tables() -> None:
    g = golden("rope_tables")
    for name, width in (("t44", 44), ("h42", 42), ("w42", 42)):
        cos, sin = tables(axis_angles(g["positions"], width))
        torch.testing.assert_close(cos, g[f"{name}.cos"], **ROPE)
        torch.testing.assert_close(sin, g[f"{name}.sin"], **ROPE)
    dit = golden("wan_dit_tiny")
    cos, sin = tables(video_angles((3, 4, 4), 128))
    torch.testing.assert_close(cos, dit["rope_cos"], **ROPE)
    torch.testing.assert_close(sin, dit["rope_sin"], **ROPE)


def test_rotation_of_video_and_of_audio_at_a_fixed_spatial_position() -> None:
    g = golden("rope_tables")
    q = g["apply_video.q"].flatten(2)
    torch.testing.assert_close(rotate(q, *tables(video_angles((3, 4, 4), 128)), heads=2), g["apply_video.out"].flatten(2), **ROPE)
    q = g["apply_ovi_audio.q"].flatten(2)
    angles = audio_angles([0.19676 * j for j in range(q.shape[1])], 128)
    torch.testing.assert_close(rotate(q, *tables(angles), heads=2), g["apply_ovi_audio.out"].flatten(2), **ROPE)


@torch.no_grad()
def test_dual_condition_cross_attention() -> None:
    g = golden("dual_cross_attention_tiny")
    layer = DualCrossAttention(256, 2, 1e-6, Operations)
    fill(layer, {key: key.replace("_voice", "_img") for key in layer.state_dict()})
    got = layer(g["x"], layer.prepare(g["text_context"], g["ref_context"]), None, attend)
    torch.testing.assert_close(got, g["out"], **DIT)
