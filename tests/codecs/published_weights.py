"""Weights of MMAudio's codecs in the published layouts, at any width: by the reference's rule, or as large as training leaves them."""

from __future__ import annotations

import dataclasses

import torch
from reference import filled
from torch import Tensor

from unitalking_core.codecs.bigvgan import BigVGAN, VocoderShape, low_pass
from unitalking_core.codecs.mmaudio import MODES
from unitalking_core.codecs.mmaudio_vae import MMAudioVAE
from unitalking_core.codecs.published import is_convolution

HIDDEN, CHANNELS = 16, 128


def shape_of(codec: str, channels: int = CHANNELS) -> VocoderShape:
    return dataclasses.replace(MODES[codec].vocoder, channels=channels)


def empty_vae(codec: str, hidden: int = HIDDEN) -> MMAudioVAE:
    mode = MODES[codec]
    with torch.device("meta"):
        return MMAudioVAE(mode.vocoder.mels, mode.channels, hidden)


def reference_vae(codec: str, mean: Tensor, std: Tensor, hidden: int = HIDDEN) -> dict[str, Tensor]:
    """Raw, as the reference fills it (rows smaller than a trained model's); mean and std (mels,)."""
    state = {k: filled(k, tuple(v.shape), flat=True) for k, v in empty_vae(codec, hidden).state_dict().items() if not k.startswith("data_")}
    return state | {"data_mean": mean.reshape(1, -1, 1), "data_std": std.reshape(1, -1, 1)}


def raw_vae(codec: str, hidden: int = HIDDEN) -> dict[str, Tensor]:
    """Raw as published: rows have a magnitude of about 1."""
    mels = MODES[codec].vocoder.mels
    state = reference_vae(codec, torch.linspace(-3, 1, mels), torch.linspace(1, 2, mels), hidden)
    return {k: v * 50 if is_convolution(k) else v for k, v in state.items()}


def raw_vocoder(codec: str, channels: int = CHANNELS) -> dict[str, Tensor]:
    """Raw as published: weight_g, weight_v and the filters, filled by the reference's rule."""
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in BigVGAN(shape_of(codec, channels)).state_dict().items()}
    state = {}
    for key, shape in shapes.items():
        if key.endswith(".weight"):
            state[f"{key}_g"] = filled(f"{key}_g", (shape[0], 1, 1))
            state[f"{key}_v"] = filled(f"{key}_v", shape)
        else:
            state[key] = filled(key, shape)
        if key.endswith(".act.alpha"):
            for name in ("upsample.filter", "downsample.lowpass.filter"):
                state[key.replace("act.alpha", name)] = low_pass(torch.device("cpu"), torch.float32).reshape(1, 1, -1)
    return state
