"""What `unitalking info` shows: a preset or a file, its parts and their sizes."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..config import ModelConfig
from ..presets import PRESETS
from .container import CheckpointError, check_numbers
from .detection import CONFIG_TENSOR, NAVA, UNITALKING, UNITALKING_BARE, identify, shapes_of
from .geometry import transformer_shapes
from .layouts import is_voice
from .nava import our_names
from .quantization import is_description, is_extra, present_spelling, quantized_layers
from .source import Source, open_source
from .unitalking import AUDIO_CODEC, TEXT_ENCODER, TRANSFORMER, VIDEO_CODEC, read_config, split_key

PARTS = ("video stream", "audio stream", "voice, video stream", "voice, audio stream")
Shapes = Mapping[str, tuple[int, ...]]


def describe(name: str, check: bool = False) -> str:
    """What the preset, file, index or folder `name` is. With `check`, every weight of a file is read and looked through for NaN.

    Raises CheckpointError.
    """
    if name in PRESETS and not Path(name).exists():
        config = PRESETS[name]()
        return "\n".join([f"{name}: a preset", *_model(config, transformer_shapes(config)), config.to_metadata()["config"]])
    if not Path(name).exists() and not Path(name).suffix:
        raise CheckpointError(f"no file and no preset '{name}'; the presets are {', '.join(PRESETS)}")
    source = open_source(name)
    found = identify(shapes_of(source), source.metadata)
    lines = [f"{source.path.name}: {found.title}{f', {found.layout} names' if found.layout else ''}", *_storage(source)]
    names = our_names(source.home)
    weights = {names[key]: shape for key, shape in shapes_of(source).items() if _is_weight(key)}
    if found.kind in (UNITALKING, UNITALKING_BARE, NAVA):
        config = read_config(source.files[0].path)
        lines += [*_model(config, weights), *(f"{key}: {value}" for key, value in _remarks(source)), config.to_metadata()["config"]]
    else:
        lines.append(f"{_millions(weights.values())} in {len(weights)} tensors")
    if check:
        for key in source.home:
            check_numbers(source.home[key].path, key, source.read(key))
        lines.append("every weight is a finite number")
    return "\n".join(lines)


def part_of(name: str) -> str:
    """The part of the transformer (one of PARTS) that a weight belongs to."""
    stream = "audio stream" if name.startswith("audio.") else "video stream"
    return f"voice, {stream}" if is_voice(name) else stream


def _model(config: ModelConfig, weights: Shapes) -> list[str]:
    """Parameters by part, and the codecs, whether they are in the file or not."""
    parts: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for key, shape in weights.items():
        part, name = split_key(key)
        parts[part].append(shape)
        if part == TRANSFORMER:
            parts[part_of(name)].append(shape)
    lines = [f"{part:>20}: {_millions(parts[part])} in {len(parts[part]):>4} tensors" for part in (*PARTS, TRANSFORMER) if part in parts]
    named = {TEXT_ENCODER: config.text.encoder, VIDEO_CODEC: config.video.codec, AUDIO_CODEC: config.audio.codec}
    for part, codec in named.items():
        held = f"{_millions(parts[part])} in {len(parts[part]):>4} tensors" if part in parts else "a file of its own"
        lines.append(f"{part.replace('_', ' '):>20}: {held} ({codec})")
    return lines


def _storage(source: Source) -> list[str]:
    """Size, dtypes and quantisation."""
    sizes: Counter[str] = Counter()
    for info in source.tensors.values():
        sizes[info.dtype] += info.stop - info.start
    kinds = ", ".join(f"{size / 1e6:,.1f} MB {dtype}" for dtype, size in sizes.most_common())
    lines = [f"{source.size / 1e6:,.1f} MB in {len(source.files)} file{'s' * (len(source.files) > 1)}: {kinds}"]
    layers = quantized_layers(source.home.keys(), source.metadata, source.read)
    formats = Counter(str(how.get("format")) for how in layers.values())
    return lines + [f"{count} layers quantised as {form}, with scales" for form, count in formats.items()]


def _remarks(source: Source) -> list[tuple[str, str]]:
    return [(key, value) for key, value in source.metadata.items() if key == "assembled_from"]


def _is_weight(key: str) -> bool:
    return key != CONFIG_TENSOR and not is_description(key) and not is_extra(present_spelling(key))


def _millions(shapes: Iterable[tuple[int, ...]]) -> str:
    return f"{sum(math.prod(shape) for shape in shapes) / 1e6:>9,.2f} M parameters"
