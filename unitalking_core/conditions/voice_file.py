"""Voice files: a prepared reference voice kept for later, as safetensors.

Tensors: `latent` (1, C, L) as the codec made it (or N speaker vectors, (1, S, N)), `preview` (N,) int16, the prepared recording itself.
Metadata under "voice": the format, a name, a note about licence and consent, the preview's rate, and which codec (or speaker encoder) made
the latent, as those of another mean nothing to a model.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..config import AudioConfig
from .redimnet import SAMPLE_RATE, ReDimNet

METADATA_KEY = "voice"
FORMAT = "unitalking-voice/1"
SPEAKER_ENCODER = "redimnet"
"""What a voice is made by that is a speaker vector and no latent of sound."""
SAMPLED_VALUES = 16
"""Values of each tensor that a codec is known by."""


class VoiceFileError(ValueError):
    """A file that is no voice, or one of another codec; the message names it."""


@dataclass(frozen=True)
class CodecId:
    """Which audio codec made a latent. `weights` tells two trainings of one architecture apart."""

    name: str
    channels: int
    sample_rate: int
    samples_per_token: int
    weights: str

    def __str__(self) -> str:
        return f"{self.name} ({self.channels} channels, {self.sample_rate} Hz, weights {self.weights})"


@dataclass(frozen=True)
class SavedVoice:
    """What a voice file holds: latent (1, C, L), preview (1, N) float32 in [-1, 1] at `sample_rate`."""

    latent: Tensor
    preview: Tensor
    sample_rate: int
    name: str
    licence: str
    codec: CodecId


def codec_id(config: AudioConfig, codec: nn.Module) -> CodecId:
    """Who this codec is: its configuration, and a digest of a few values of every tensor."""
    return CodecId(config.codec, config.channels, config.sample_rate, config.samples_per_token, _digest(codec))


def encoder_id(encoder: ReDimNet) -> CodecId:
    """The same for a speaker encoder, which makes one vector of a whole recording."""
    return CodecId(SPEAKER_ENCODER, encoder.linear.out_features, SAMPLE_RATE, 0, _digest(encoder))


def is_speaker_vector(made_by: CodecId) -> bool:
    return made_by.name == SPEAKER_ENCODER


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().flatten()[:SAMPLED_VALUES].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def save_voice(path: str | os.PathLike[str], voice: SavedVoice) -> None:
    """Write a voice file, whole or not at all."""
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.part")
    about = {"format": FORMAT, "name": voice.name, "licence": voice.licence, "sample_rate": voice.sample_rate}
    about["codec"] = dataclasses.asdict(voice.codec)
    tensors = {
        "latent": voice.latent.detach().float().cpu().contiguous(),
        "preview": (voice.preview[0].cpu().clamp(-1, 1) * 32767).round().to(torch.int16),
    }
    try:
        save_file(tensors, unfinished, metadata={METADATA_KEY: json.dumps(about, sort_keys=True)})
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def load_voice(path: str | os.PathLike[str], codec: CodecId | None = None) -> SavedVoice:
    """Read a voice file. Raises VoiceFileError when it is none, or was made by another codec than `codec`."""
    name = Path(path).name
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  the handle is no dict
    except (OSError, SafetensorError, ValueError) as error:
        raise VoiceFileError(f"{name} is not a readable voice file: {error}") from error
    if about.get("format") != FORMAT or not {"latent", "preview"} <= tensors.keys():
        raise VoiceFileError(f"{name} holds no voice in the format {FORMAT}; make one with UniTalking Save Voice")
    made_by = CodecId(**about["codec"])
    if codec is not None and made_by != codec:
        raise VoiceFileError(
            f"the voice '{about['name']}' ({name}) was made by the audio codec {made_by}, this model's is {codec}: "
            "encode its recording again with Encode Reference Voice"
        )
    preview = tensors["preview"].float()[None] / 32767
    return SavedVoice(tensors["latent"], preview, about["sample_rate"], about["name"], about["licence"], made_by)
