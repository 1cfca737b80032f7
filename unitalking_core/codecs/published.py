"""Published weights of MMAudio's codecs, as the state of our modules: recognised, checked, and folded exactly once.

Known are MMAudio's VAE (`v1-44.pth`, `v1-16.pth`), NVIDIA's `bigvgan_generator.pt`, MMAudio's `best_netG.pt`, re-packagings of them, raw or
folded, and ComfyUI's single file of the 16 kHz pair.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ..checkpoint import CheckpointError, check_fit
from ..checkpoint.detection import identify
from .bigvgan import BigVGAN, VocoderShape, low_pass
from .mmaudio import MODES
from .mmaudio_vae import EPS, MMAudioVAE

Weights = Mapping[str, Tensor]
FILTERS = (".upsample.filter", ".downsample.lowpass.filter")
TABLES = "mel_converter."
"""Filters and window of the mel spectrogram in ComfyUI's single file; ours are computed."""


def vae_state(weights: Weights, name: str) -> tuple[str, int, dict[str, Tensor]]:
    """The VAE in a file called `name` -> codec, hidden width, folded state in float32. Raises CheckpointError."""
    weights = part_of(weights, "vae.")
    codec, hidden = recognise_vae(weights, name)
    _require_finite(weights, name)
    kinds = {key: _kind(key, weight, name) for key, weight in weights.items() if is_convolution(key)}
    if len(set(kinds.values())) > 1:
        raw, folded = (next(key for key, kind in kinds.items() if kind == wanted) for wanted in ("raw", "folded"))
        raise CheckpointError(f"{name} mixes raw and folded weights: {raw} is raw, {folded} is folded. Take the published file")
    fold = "raw" in kinds.values()
    return codec, hidden, {key: fold_rows(weight) if fold and key in kinds else weight.float() for key, weight in weights.items()}


def recognise_vae(weights: Weights, name: str) -> tuple[str, int]:
    """Codec and hidden width from names and shapes alone, which must all fit. Raises CheckpointError."""
    mean, first = weights.get("data_mean"), weights.get("decoder.conv_in.weight")
    if mean is None or first is None or first.ndim != 3 or mean.ndim != 3:
        raise CheckpointError(f"{name}: this is {_title(weights)}; expected MMAudio's VAE, such as v1-44.pth or v1-16.pth")
    mels, channels, hidden = mean.shape[1], first.shape[1], first.shape[0] // 4
    codec = next((codec for codec, mode in MODES.items() if (mode.vocoder.mels, mode.channels) == (mels, channels)), None)
    if codec is None:
        raise CheckpointError(f"{name} is a VAE of {mels} mel bands and {channels} channels; MMAudio's have 128 and 40, or 80 and 20")
    with torch.device("meta"):
        wanted = MMAudioVAE(mels, channels, hidden).state_dict()
    check_fit(wanted, weights, f"VAE of {codec} ({name})")
    return codec, hidden


def vocoder_state(weights: Weights, name: str) -> tuple[str, int, dict[str, Tensor]]:
    """The vocoder in a file called `name` -> codec, channels, folded state in float32. Raises CheckpointError."""
    weights = _legacy_names(part_of(weights, "vocoder."))
    codec, channels = recognise_vocoder(weights, name)
    _require_finite(weights, name)
    for key, taps in weights.items():
        if key.endswith(FILTERS) and not torch.allclose(taps.float().flatten(), low_pass(taps.device, torch.float32), atol=2e-3):
            raise CheckpointError(f"{name}: {key} is not BigVGAN's low-pass filter; this vocoder cannot be used")
    state = fold_gains(weights)
    _require_finite(state, name)
    return codec, channels, state


def recognise_vocoder(weights: Weights, name: str) -> tuple[str, int]:
    """Codec and channels from names (the legacy ones) and shapes alone, which must all fit. Raises CheckpointError."""
    shapes = _folded_shapes(weights, name)
    first = shapes.get("conv_pre.weight")
    if first is None:
        raise CheckpointError(
            f"{name}: this is {_title(weights)}; expected a BigVGAN vocoder, such as bigvgan_generator.pt or best_netG.pt"
        )
    stages = sum(bool(re.fullmatch(r"ups\.\d+\.0\.weight", key)) for key in shapes)
    kernels = tuple(shapes[f"ups.{i}.0.weight"].shape[-1] for i in range(stages) if f"ups.{i}.0.weight" in shapes)
    found = (first.shape[1], kernels, "conv_post.bias" in shapes)
    codec = next((codec for codec, mode in MODES.items() if _fingerprint(mode.vocoder) == found), None)
    if codec is None:
        known = "; ".join(f"{codec}: {_vocoder_words(*_fingerprint(mode.vocoder))}" for codec, mode in MODES.items())
        raise CheckpointError(f"{name} is another BigVGAN ({_vocoder_words(*found)}). Expected one of {known}")
    shape, channels = MODES[codec].vocoder, first.shape[0]
    with torch.device("meta"):
        wanted = BigVGAN(VocoderShape(shape.mels, channels, shape.rates, shape.kernels, shape.tanh)).state_dict()
    check_fit(wanted, {key: value for key, value in shapes.items() if not key.endswith(FILTERS)}, f"vocoder of {codec} ({name})")
    return codec, channels


def is_convolution(key: str) -> bool:
    """Whether an entry of the VAE is a weight whose rows are normalised: all but statistics and gains are."""
    return key.endswith(".weight")


def fold_rows(weight: Tensor) -> Tensor:
    """EDM2's weight normalisation (arXiv 2312.02696, section 2.3): each row to a magnitude of 1 and divided by sqrt(fan in), in float32.

    Not idempotent, for EPS is added to a magnitude that is no longer 1.
    """
    weight = weight.float()
    magnitude = weight.square().mean(tuple(range(1, weight.ndim)), keepdim=True).sqrt()
    return weight / (EPS + magnitude) / weight[0].numel() ** 0.5


def fold_gains(weights: Weights) -> dict[str, Tensor]:
    """Weight norm (Salimans and Kingma 2016) over dimension 0: w = g v / |v|; filters are left out, other entries come as they are."""
    state = {}
    for key, value in weights.items():
        if key.endswith("weight_v"):
            direction = value.float()
            length = direction.flatten(1).norm(dim=1).reshape(-1, 1, 1)
            state[key.removesuffix("_v")] = weights[key.removesuffix("v") + "g"].float() * direction / length
        elif not key.endswith(("weight_g", *FILTERS)):
            state[key] = value.float()
    return state


def part_of(weights: Weights, prefix: str) -> Weights:
    """The entries under a prefix, where a file has it; else all of them."""
    inside = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    return inside or {key: value for key, value in weights.items() if not key.startswith(TABLES)}


def _title(weights: Weights) -> str:
    """What a file that was not expected is, in words."""
    return identify({key: tuple(value.shape) for key, value in weights.items()}).title


def _legacy_names(weights: Weights) -> Weights:
    """torch's newer spelling of weight norm -> the older one."""
    new = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    return {re.sub(r"parametrizations\.weight\.original[01]$", lambda match: new[match[0]], key): value for key, value in weights.items()}


def _folded_shapes(weights: Weights, name: str) -> dict[str, Tensor]:
    """Names and shapes after folding; values are not looked at. Raises CheckpointError for half a weight and for mixtures."""
    raw = {end: {key.removesuffix(end) for key in weights if key.endswith(f".weight{end}")} for end in ("_g", "_v")}
    for key in sorted(raw["_g"] ^ raw["_v"]):
        has, lacks = ("_g", "_v") if key in raw["_g"] else ("_v", "_g")
        raise CheckpointError(f"{name} has {key}{has} but not {key}{lacks}: half of a weight is missing")
    plain = [key for key in weights if key.endswith(".weight")]
    if plain and raw["_v"]:
        raise CheckpointError(
            f"{name} mixes raw and folded weights: {min(raw['_v'])}_v is raw, {plain[0]} is folded. Take the published file"
        )
    return {key.removesuffix("_v"): value for key, value in weights.items() if not key.endswith(".weight_g")}


def _kind(key: str, weight: Tensor, name: str) -> str:
    """ "raw": rows of magnitude about 1. "folded": of 1 / sqrt(fan in), exact to the rounding of a half-precision file."""
    magnitude = weight.float().square().mean((1, 2)).sqrt()
    expected = weight[0].numel() ** -0.5
    if ((magnitude / expected - 1).abs() < 0.05).all():
        return "folded"
    if 0.2 < magnitude.median() < 5:
        return "raw"
    raise CheckpointError(
        f"{name}: {key} has rows of magnitude {magnitude.median():.2g}, expected 1 (raw) or {expected:.2g} (folded). The file is damaged"
    )


def _require_finite(weights: Weights, name: str) -> None:
    for key, value in weights.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{name}: {key} holds NaN or infinity. The file is damaged; fetch it again")


def _fingerprint(shape: VocoderShape) -> tuple[int, tuple[int, ...], bool]:
    return shape.mels, shape.kernels, shape.tanh


def _vocoder_words(mels: int, kernels: tuple[int, ...], bias: bool) -> str:
    listed = ", ".join(map(str, kernels))
    return f"{mels} mel bands, upsampling kernels {listed}, {'a' if bias else 'no'} bias at the end"
