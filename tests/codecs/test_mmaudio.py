"""MMAudio's codecs give the reference's numbers, keep the codecs' contract, and decode in pieces without a seam."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from reference import golden
from torch import Tensor

from tests.codecs.published_weights import empty_vae, raw_vae, raw_vocoder, reference_vae, shape_of
from unitalking_core.codecs import build_audio_codec
from unitalking_core.codecs.bigvgan import BigVGAN, low_pass
from unitalking_core.codecs.mmaudio import MODES, MMAudioCodec, mmaudio_config
from unitalking_core.codecs.mmaudio_mel import MMAudioMel
from unitalking_core.codecs.mmaudio_vae import MMAudioVAE
from unitalking_core.codecs.published import fold_gains, fold_rows, is_convolution
from unitalking_core.config import ConfigError

VAE = {"atol": 2e-5, "rtol": 1e-4}
WAVE = {"atol": 5e-6, "rtol": 1e-4}
CODECS = list(MODES)
FILES = {"mmaudio-44k": "bigvgan_v2_44k", "mmaudio-16k": "bigvgan_16k"}
pytestmark = pytest.mark.usefixtures("no_gradients")


@pytest.fixture
def no_gradients() -> Any:
    with torch.no_grad():
        yield


def numbers(file: str, prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in golden(file).items() if key.startswith(prefix)}


def folded_vae(codec: str, g: dict[str, Tensor], hidden: int) -> MMAudioVAE:
    vae = empty_vae(codec, hidden)
    raw = reference_vae(codec, g["data_mean"], g["data_std"], hidden)
    vae.load_state_dict({k: fold_rows(v) if is_convolution(k) else v for k, v in raw.items()}, assign=True)
    return vae


def folded_vocoder(codec: str, channels: int) -> BigVGAN:
    with torch.device("meta"):
        vocoder = BigVGAN(shape_of(codec, channels))
    vocoder.load_state_dict(fold_gains(raw_vocoder(codec, channels)), assign=True)
    return vocoder


def tiny_codec(codec: str) -> MMAudioCodec:
    made = build_audio_codec(mmaudio_config(codec, 16, 64))
    made.vae.load_state_dict({k: fold_rows(v) if is_convolution(k) else v for k, v in raw_vae(codec).items()})
    made.vocoder.load_state_dict(fold_gains(raw_vocoder(codec, 64)))
    return made


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("basis", ["own", "shipped"])
def test_mel(codec: str, basis: str) -> None:
    mode, g = MODES[codec], numbers("mel", f"{codec[-3:]}.")
    mel = MMAudioMel(mode.sample_rate, mode.n_fft, mode.hop, mode.vocoder.mels, decibels=mode.decibels)
    band = {"atol": 2e-4 if basis == "own" else 1e-5, "rtol": 1e-4}
    shipped = None if basis == "own" else g["mel_basis"]
    torch.testing.assert_close(mel(g["waveform"], shipped), g["mel"], **band)
    loud = 4 * g["waveform"][:, : mode.sample_rate // 4]
    torch.testing.assert_close(mel(loud, shipped), g["mel_of_4x_first_quarter_second"], **band)


def check_vae(vae: MMAudioVAE, g: dict[str, Tensor]) -> None:
    mean, log_variance = vae.encode(g["mel_in"])
    torch.testing.assert_close(mean, g["enc_mean"], **VAE)
    torch.testing.assert_close(log_variance, g["enc_logvar"], **VAE)
    torch.testing.assert_close((log_variance / 2).exp(), g["enc_std"], **VAE)
    torch.testing.assert_close(vae.encode(g["mel_in"][..., :-1])[0], g["enc_mean_from_mel_in_minus_last_frame"], **VAE)
    torch.testing.assert_close(vae.decode(g["z_in"]), g["dec_mel"], **VAE)
    torch.testing.assert_close(vae.decoder(g["z_in"]), g["dec_mel_before_unnormalize"], **VAE)


@pytest.mark.parametrize("codec", CODECS)
def test_vae_and_its_inner_taps(codec: str) -> None:
    g = numbers("mmaudio_vae_tiny", f"tiny{codec[-3:]}.")
    vae = folded_vae(codec, g, 16)
    check_vae(vae, g)
    encoder, decoder = vae.encoder, vae.decoder
    torch.testing.assert_close(encoder.mid.attn_1(g["mid.attn_in"]), g["mid.attn_out_encoder_mid_attn_1"], **VAE)
    torch.testing.assert_close(decoder.up[1].upsample(g["mid.upsample_in"]), g["mid.upsample_out_decoder_up_1"], **VAE)
    block = encoder.down[0].block[0](g["mid.enc_conv_in"])
    torch.testing.assert_close(block, g["mid.enc_down0_block0"], **VAE)
    torch.testing.assert_close(encoder.down[0].downsample(block), g["mid.enc_down0_downsample_of_block0"], **VAE)


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
def test_vae_at_full_width(codec: str) -> None:
    g = numbers(f"mmaudio_vae_{codec[-3:]}_full", f"{codec[-3:]}.")
    check_vae(folded_vae(codec, g, MODES[codec].hidden), g)


def test_attention_in_pieces_is_the_whole() -> None:
    """More rows than are computed at once."""
    g = numbers("mmaudio_vae_tiny", "tiny16k.")
    attention = folded_vae("mmaudio-16k", g, 16).encoder.mid.attn_1
    x = torch.randn(1, 64, 2500, generator=torch.Generator().manual_seed(0))
    pieces = attention(x)
    q, k, v = (y / (1e-4 + y.square().mean(1, keepdim=True).sqrt()) for y in (attention.qkv(x)[:, i::3] for i in range(3)))
    seen = torch.softmax(q.transpose(1, 2) @ k / 8, dim=-1) @ v.transpose(1, 2)
    torch.testing.assert_close(pieces, (0.7 * x + 0.3 * attention.proj_out(seen.transpose(1, 2))) / 0.58**0.5, **VAE)


@pytest.mark.parametrize("codec", CODECS)
def test_vocoder_and_its_inner_taps(codec: str) -> None:
    g = numbers(FILES[codec], "tiny.")
    vocoder = folded_vocoder(codec, 128)
    for name in ("filter_up", "filter_down"):
        torch.testing.assert_close(low_pass(torch.device("cpu"), torch.float32), g[name], atol=1e-6, rtol=0)
    torch.testing.assert_close(vocoder.conv_pre(g["mel"]), g["conv_pre"], **VAE)
    torch.testing.assert_close(vocoder.ups[0](g["conv_pre"]), g["ups_0"], **VAE)
    torch.testing.assert_close(vocoder.resblocks[0].activations[0](g["ups_0"]), g["resblock_0_act_0"], **VAE)
    torch.testing.assert_close(vocoder.resblocks[0](g["ups_0"]), g["resblock_0"], **VAE)
    torch.testing.assert_close(vocoder.activation_post(vocoder.features(g["mel"])), g["activation_post"], **VAE)
    torch.testing.assert_close(vocoder.conv_post(g["activation_post"]), g["conv_post_out"], **WAVE)
    torch.testing.assert_close(vocoder(g["mel"]), g["wave"], **WAVE)


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
def test_vocoder_at_full_width(codec: str) -> None:
    g = numbers(FILES[codec], "full.")
    torch.testing.assert_close(folded_vocoder(codec, 1536)(g["mel"]), g["wave"], **WAVE)


def test_the_44k_wave_is_clamped_and_the_16k_wave_bent() -> None:
    loud = {codec: folded_vocoder(codec, 128) for codec in CODECS}
    for vocoder in loud.values():
        vocoder.conv_post.weight.mul_(100)
    waves = {codec: vocoder(numbers(FILES[codec], "tiny.")["mel"]) for codec, vocoder in loud.items()}
    assert (waves["mmaudio-44k"].abs() == 1).float().mean() > 0.2
    assert 0.99 < waves["mmaudio-16k"].abs().max() <= 1


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("chunk", [7, 30])
def test_a_wave_made_in_pieces_has_no_seam(codec: str, chunk: int) -> None:
    """Against the wave made at once: the pieces see all that reaches them, so only rounding is left."""
    made = tiny_codec(codec)
    latent = torch.randn(1, MODES[codec].channels, 50, generator=torch.Generator().manual_seed(1))
    whole = made.vocoder(made.vae.decode(latent))
    pieces = list(made.decode_chunks(latent, chunk))
    assert [piece.shape[2] // made.samples_per_token for piece in pieces] == [min(chunk, 50 - i) for i in range(0, 50, chunk)]
    assert (torch.cat(pieces, dim=2) - whole).abs().max() < 1e-6 * max(1, whole.abs().max())
    assert torch.equal(made.decode(latent), whole), "short sound is made at once"


@pytest.mark.parametrize("codec", CODECS)
def test_the_reach_of_a_frame_is_what_the_layers_say(codec: str) -> None:
    """Samples farther from a changed frame than the reach stay what they were, to the last bit; the reach is no gross overestimate."""
    vocoder, hop, reach = folded_vocoder(codec, 128).double(), MODES[codec].hop, MODES[codec].vocoder.reach
    mel = torch.randn(1, MODES[codec].vocoder.mels, 2 * reach + 21, generator=torch.Generator().manual_seed(2)).double()
    middle = reach + 10
    changed = mel.clone()
    changed[:, :, middle] += 1
    touched = (vocoder(changed) != vocoder(mel))[0, 0].unflatten(0, (-1, hop)).any(1).nonzero()[:, 0]
    assert middle - reach <= touched.min() <= middle - 0.7 * reach
    assert middle + 0.7 * reach <= touched.max() <= middle + reach


@pytest.mark.parametrize("codec", CODECS)
def test_tokens_cover_every_sample(codec: str) -> None:
    made, mode = tiny_codec(codec), MODES[codec]
    for samples in (1, mode.samples_per_token, mode.samples_per_token + 1, mode.sample_rate):
        wave = 0.3 * torch.randn(2, 1, samples, generator=torch.Generator().manual_seed(3))
        latent = made.encode(wave)
        assert latent.shape == (2, mode.channels, math.ceil(samples / mode.samples_per_token))
        assert made.decode(latent).shape == (2, 1, latent.shape[2] * mode.samples_per_token)
    whole = padded(wave, mode.samples_per_token)
    torch.testing.assert_close(latent, made.vae.encode(made.mel(whole))[0])


def padded(wave: Tensor, step: int) -> Tensor:
    return torch.nn.functional.pad(wave[:, 0], (0, -wave.shape[2] % step))


def test_what_does_not_fit_is_named() -> None:
    made = tiny_codec("mmaudio-16k")
    with pytest.raises(ValueError, match=r"\(B, 1, N\), got \(1, 2, 640\)"):
        made.encode(torch.zeros(1, 2, 640))
    with pytest.raises(ValueError, match="at least one token, got 0"):
        made.decode_chunks(torch.zeros(1, 20, 3), 0)
    wrong = dataclasses.replace(mmaudio_config("mmaudio-44k", 16, 128), sample_rate=16000)
    with pytest.raises(ConfigError, match="mmaudio-44k has sample_rate 44100, the configuration says 16000"):
        build_audio_codec(wrong)
