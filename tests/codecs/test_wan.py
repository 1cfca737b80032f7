"""Wan2.2's video VAE through diffusers: the reference's numbers, every published key, and streaming that equals decoding at once."""

from __future__ import annotations

import json

import pytest
import torch
from reference import GOLDEN, filled, golden, manifest

from unitalking_core.checkpoint import check_fit
from unitalking_core.codecs import build_video_codec
from unitalking_core.codecs.wan import Wan22VideoCodec, own_names
from unitalking_core.config import VideoConfig
from unitalking_core.presets import ten_b

pytest.importorskip("diffusers", reason="diffusers is not installed (extra 'full')")
BAND = {"atol": 2e-5, "rtol": 1e-4}


@pytest.fixture(scope="module")
def codec() -> Wan22VideoCodec:
    """At the reference's small width, filled by its rule."""
    sizes = json.loads((GOLDEN / "wan22_vae_tiny.config.json").read_text())
    options = {"base_dim": sizes["dim"], "decoder_base_dim": sizes["dec_dim"]}
    made = build_video_codec(VideoConfig("wan2.2-vae", sizes["z_dim"], 24, 64, 64, options=options))
    shapes = made.state_dict()
    names = {published: own for published in manifest("wan2.2_vae") for own in own_names({published: torch.empty(0)})}
    made.load_state_dict({own: filled(published, tuple(shapes[own].shape)) for published, own in names.items()})
    return made.eval().requires_grad_(False)


def test_every_key_of_the_published_vae() -> None:
    with torch.device("meta"):
        wanted = build_video_codec(ten_b().video).state_dict()
    check_fit(wanted, own_names(manifest("wan2.2_vae")), "VAE in Wan's names")
    diffusers = {key.removeprefix("vae."): value for key, value in wanted.items()}
    check_fit(wanted, own_names(diffusers), "VAE in diffusers' names")


def test_encoding_is_the_references(codec: Wan22VideoCodec) -> None:
    g = golden("wan22_vae_tiny")
    for name in ("clip5", "clip9", "image"):
        torch.testing.assert_close(codec.encode(g[name]), g[f"{name}_latent_raw"], **BAND)
    video = ten_b().video
    mean, std = (torch.tensor(values).reshape(1, -1, 1, 1, 1) for values in (video.mean, video.std))
    torch.testing.assert_close((codec.encode(g["clip5"]) - mean) / std, g["clip5_latent_normalized"], **BAND)


def test_decoding_is_the_references_within_black_and_white(codec: Wan22VideoCodec) -> None:
    g = golden("wan22_vae_tiny")
    torch.testing.assert_close(codec.decode(g["z3_raw"]), g["z3_decoded"].clamp(-1, 1), **BAND)
    torch.testing.assert_close(codec.decode(g["clip5_latent_raw"]), g["clip5_decoded_from_raw_latent"].clamp(-1, 1), **BAND)
    assert (g["z3_decoded"].abs() < 1).float().mean() > 0.5, "most of it is compared"


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_chunks_are_the_whole(codec: Wan22VideoCodec, chunk: int) -> None:
    latent = golden("wan22_vae_tiny")["z3_raw"]
    pieces = list(codec.decode_chunks(latent, chunk))
    assert pieces[0].shape[2] == min(chunk, 3) * 4 - 3
    torch.testing.assert_close(torch.cat(pieces, dim=2), codec.decode(latent), atol=1e-6, rtol=0)


def test_off_grid_frames_are_refused(codec: Wan22VideoCodec) -> None:
    with pytest.raises(ValueError, match="4 frames of 32x32 are off the grid"):
        codec.encode(torch.zeros(1, 3, 4, 32, 32))
    with pytest.raises(ValueError, match="at least one latent"):
        next(codec.decode_chunks(torch.zeros(1, 48, 2, 2, 2), 0))
