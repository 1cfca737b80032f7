"""Where every weight of a warm start comes from: from Wan, from a donor of the sound's twin, or drawn.

Every weight of a source file has a place in the new model or a reason why it has none; else nothing is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..config import ModelConfig
from ..presets import ten_b, ten_b_16k
from .container import CheckpointError, check_numbers
from .detection import A_WAN22, AN_OVI, identify, require, shapes_of
from .geometry import resized, transformer_shapes
from .layouts import OVI_AUDIO, is_voice, original_name, our_name
from .quantization import SCALE, dequantized, is_description, is_extra, present_spelling, quantized_layers, require_readable
from .source import Source, open_source

AUDIO = "audio."
RANDOM, COPY, FROM_OVI = "random", "copy", "ovi:"
RATES = {"44k": ten_b, "16k": ten_b_16k}
OF_THE_LATENT = ("patch_embedding.", "head.head.")
"""What reads and writes a latent: of another shape for sound than for pictures."""


@dataclass(frozen=True)
class Donor:
    """A source's weights under our names. `title` tells what it is."""

    source: Source
    title: str
    names: Mapping[str, str]
    """Our name -> the source's."""
    layers: Mapping[str, Mapping[str, Any]]
    """The source's quantised layers, by its own names."""

    def shape(self, name: str) -> tuple[int, ...]:
        return self.source.home[self.names[name]].tensors[self.names[name]].shape

    def read(self, name: str) -> Tensor:
        """The weight; a quantised one is multiplied out. Raises CheckpointError."""
        theirs = self.names[name]
        weight, layer = self.source.read(theirs), theirs.removesuffix(".weight")
        if layer not in self.layers:
            return weight
        scale = next((n for n in self.source.home if present_spelling(n) == layer + SCALE), None)
        if scale is None:
            raise CheckpointError(f"{self.source.path.name}: {theirs} is quantised and has no scale; use the published file")
        return dequantized(weight, self.source.read(scale))


class Origin(NamedTuple):
    """A weight in a donor, under the name that it has as a weight of a Wan stream (ours, without `audio.`)."""

    donor: Donor
    name: str

    def read(self) -> Tensor:
        """The weight. Raises CheckpointError where it holds NaN."""
        weight, theirs = self.donor.read(self.name), self.donor.names[self.name]
        check_numbers(self.donor.source.home[theirs].path, theirs, weight)
        return weight


@dataclass(frozen=True)
class Plan:
    """What is put together: the model, the shape and the origin (None: drawn) of each of its weights, and what is left out, by reason."""

    config: ModelConfig
    shapes: Mapping[str, tuple[int, ...]]
    origins: Mapping[str, Origin | None]
    dropped: Mapping[str, list[str]]
    inputs: tuple[Path, ...]

    def describe(self) -> str:
        """One line for each origin and each reason."""
        taken = Counter((o.donor.title, "sound" if n.startswith(AUDIO) else "picture") for n, o in self.origins.items() if o is not None)
        lines = [f"{count:>5} weights of the {stream}'s stream from {title}" for (title, stream), count in taken.items()]
        drawn = [name for name, origin in self.origins.items() if origin is None]
        lines.append(f"{len(drawn):>5} weights drawn, {sum(is_voice(name) for name in drawn)} of them for the reference voice")
        lines += [f"{len(names):>5} weights left out ({names[0]} ...): {reason}" for reason, names in self.dropped.items()]
        return "\n".join(lines)


def plan(video: Path, audio: str, rate: str = "44k") -> Plan:
    """Account for a warm start; reads headers only. `audio` is RANDOM, COPY (of the video stream) or FROM_OVI and a file.

    Raises CheckpointError when a file is not what it should be, lacks a weight, or has one that is neither used nor left out for a reason.
    """
    pictures = _open_wan(video)
    try:
        config = resized(RATES[rate](), {name: pictures.shape(name) for name in pictures.names})
    except CheckpointError as error:
        raise CheckpointError(f"{video.name}: {error}") from error
    sounds: Donor | None = None
    dropped: dict[str, list[str]] = {}
    inputs = [video]
    if audio.startswith(FROM_OVI) and audio != FROM_OVI:
        path = Path(audio.removeprefix(FROM_OVI))
        sounds, dropped = _open_ovi(path, config)
        inputs.append(path)
    elif audio == COPY:
        sounds = Donor(pictures.source, pictures.title, _without_latent(pictures.names), pictures.layers)
    elif audio != RANDOM:
        raise CheckpointError(f"the sound's stream is '{RANDOM}', '{COPY}' or '{FROM_OVI}FILE', not '{audio}'")
    shapes = transformer_shapes(config)
    origins: dict[str, Origin | None] = dict.fromkeys(shapes)
    for donor, prefix in ((pictures, ""), (sounds, AUDIO)):
        if donor is not None:
            origins |= {prefix + name: Origin(donor, name) for name in _accounted(donor, shapes, prefix)}
    return Plan(config, shapes, origins, dropped, tuple(inputs))


def _accounted(donor: Donor, shapes: Mapping[str, tuple[int, ...]], prefix: str) -> list[str]:
    """The donor's weights, all of which must fit the stream under `prefix`, none of whose own may be missing but those that are drawn."""
    stream = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(AUDIO) == (prefix == AUDIO)}
    wanted = {name for name in stream if not is_voice(name) and (not prefix or not name.startswith(OF_THE_LATENT))}
    problems = {
        "missing": sorted(wanted - donor.names.keys()),
        "unexpected": sorted(donor.names[name] for name in donor.names.keys() - stream.keys()),
        "of another shape": sorted(donor.names[n] for n in donor.names.keys() & stream.keys() if donor.shape(n) != stream[n]),
    }
    told = [f"{len(names)} {what}: {', '.join(names[:3])}{' ...' * (len(names) > 3)}" for what, names in problems.items() if names]
    if told:
        what = f"{donor.source.path.name}, {donor.title}, does not fit: {'; '.join(told)}"
        raise CheckpointError(f"{what}. It is incomplete or a variant; use the published file")
    return list(donor.names)


def _open_wan(path: Path) -> Donor:
    source = open_source(path)
    found = identify(shapes_of(source), source.metadata)
    require(found, A_WAN22, path.name)
    weights = _weights(source)
    names = {our_name(original_name(name, found.layout)): name for name in weights}
    if len(names) < len(weights):
        twice = min(set(weights) - set(names.values()))
        raise CheckpointError(f"{path.name}: {twice} is there under two spellings; use the published file")
    return Donor(source, f"{found.title} ({found.layout} names)", names, _layers(source))


def _open_ovi(path: Path, config: ModelConfig) -> tuple[Donor, dict[str, list[str]]]:
    """Ovi's audio tower, and what of the file has no place, by reason."""
    source = open_source(path)
    found = identify(shapes_of(source), source.metadata)
    require(found, AN_OVI, path.name)
    used: dict[str, str] = {}
    dropped: dict[str, list[str]] = {}
    for name in _weights(source):
        if reason := _left_out(name, source, config):
            dropped.setdefault(reason, []).append(name)
        else:
            used[our_name(name.removeprefix(OVI_AUDIO))] = name
    return Donor(source, f"{found.title}'s audio tower", used, _layers(source)), dropped


def _left_out(name: str, source: Source, config: ModelConfig) -> str:
    """Why a weight of Ovi has no place here; empty where it has one."""
    if name.startswith("video_model."):
        return "Ovi's video tower; the picture's stream comes from --video"
    if "_fusion." in name:
        return "Ovi's streams meet in cross-attention, these in their joint self-attention"
    if name.startswith(f"{OVI_AUDIO}patch_embedding."):
        return "Ovi embeds sound by gated convolutions, this model by one projection"
    channels = source.tensors[f"{OVI_AUDIO}head.head.bias"].shape[0]
    if name.startswith(f"{OVI_AUDIO}head.head.") and channels != config.audio.channels:
        return f"Ovi writes latents of {channels} channels, this model of {config.audio.channels} (--audio-rate 16k keeps them)"
    return ""


def _weights(source: Source) -> list[str]:
    """All tensors but those that only serve quantised weights."""
    return [name for name in source.home if not is_description(name) and not is_extra(present_spelling(name))]


def _layers(source: Source) -> dict[str, dict[str, Any]]:
    """The quantised layers. Raises CheckpointError where there is one that cannot be multiplied out."""
    layers = quantized_layers(source.home.keys(), source.metadata, source.read)
    for layer, how in layers.items():
        require_readable(f"{source.path.name}: {layer}", how)
    return layers


def _without_latent(names: Mapping[str, str]) -> dict[str, str]:
    return {name: theirs for name, theirs in names.items() if not name.startswith(OF_THE_LATENT)}
