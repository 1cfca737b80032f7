"""What a model is: frozen dataclasses, and their way to and from safetensors metadata.

A configuration names everything a checkpoint's tensors do not say by themselves: geometry of both streams, the codecs, the
latent statistics, frame and token rates, and the sampling settings the model was trained for.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .timeline import Timeline

METADATA_KEY = "config"
FORMAT = "unitalking/1"
BLOCK_MODULES = ("self_attn", "norm3", "cross_attn", "ffn", "modulation")
EMBEDDINGS = ("text_embedding", "voice_embedding", "time_embedding", "time_projection")
"""The modules that the twin may share, of a block and of a stream. Patch embedding and head belong to the latent they read and write."""


class ConfigError(ValueError):
    """A configuration that does not describe a model this code can build."""


@dataclass(frozen=True)
class TransformerConfig:
    """The twin streams; both have the same depth and width (UniTalking, arXiv 2603.01418)."""

    layers: int
    dim: int
    heads: int
    ffn_dim: int
    text_dim: int
    freq_dim: int = 256
    video_patch: tuple[int, int, int] = (1, 2, 2)
    audio_kernel: int = 1
    audio_hidden: int = 0
    """Channels inside the gated convolution that follows the first one where sound is embedded (NAVA, Ovi: 8192); 0: there is none."""
    speakers: int = 0
    """How many voices are told apart by speaker vectors, which take the place of marked rows of the text (NAVA: 2). 0: one voice, as tokens
    of audio latents with keys and values of their own (UniTalking)."""
    speaker_dim: int = 192
    eps: float = 1e-6
    predicts: str = "velocity"
    """What the video stream's head gives: "velocity" (as Wan's), or "data", around the first picture where it is given, which the model
    turns into the velocity itself (`prediction`). For tokens with about as many values as the width (nano: 192 in 192); audio
    tokens have fewer, and their head always gives the velocity."""
    rope: str = "anisotropic"
    """"anisotropic": sound stands on the video's clock and turns on the time axis alone. "index": for comparison only, audio token n stands
    at (n, n, n), as a text token would in a vision-language model: no shared clock, and the spatial axes turn too."""
    sharing: tuple[tuple[int, int, tuple[str, ...]], ...] = ()
    """(first block, last block, names of BLOCK_MODULES): which modules the twin uses as the same object as the video stream. UniTalking
    shares none; NAVA (arXiv 2605.30073) its feed-forward layers in the first blocks and everything in the rest."""
    shared_embeddings: tuple[str, ...] = ()
    """Names of EMBEDDINGS that both streams use; NAVA: all of them."""

    def __post_init__(self) -> None:
        self._check_sharing()
        if self.rope not in ("anisotropic", "index"):
            raise ConfigError(f"rope is 'anisotropic' or 'index', not '{self.rope}'")
        if self.predicts not in ("velocity", "data"):
            raise ConfigError(f"a model predicts 'velocity' or 'data', not '{self.predicts}'")
        if self.dim % self.heads or (self.dim // self.heads) % 2:
            raise ConfigError(f"width {self.dim} does not split into {self.heads} heads of even size")
        if self.audio_kernel % 2 == 0:
            raise ConfigError(f"audio_kernel must be odd, got {self.audio_kernel}")

    def _check_sharing(self) -> None:
        for first, last, modules in self.sharing:
            if not 0 <= first <= last < self.layers:
                raise ConfigError(f"sharing names blocks {first} to {last}; the model has blocks 0 to {self.layers - 1}")
            _check_names("sharing", modules, BLOCK_MODULES)
        _check_names("shared_embeddings", self.shared_embeddings, EMBEDDINGS)


@dataclass(frozen=True)
class VideoConfig:
    """The video latent: which codec makes it, its geometry, and its statistics (model space = (latent - mean) / std)."""

    codec: str
    channels: int
    fps: float
    width: int
    height: int
    spatial_stride: int = 16
    temporal_stride: int = 4
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    change: float = 1.0
    """How far later latents are from the clip's first one, in model space: read by models that predict data."""
    preview: tuple[tuple[float, float, float], ...] = ()
    """Linear latent -> RGB in [-1, 1] for step previews: one row per channel, in model space, then one row of biases."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the named codec's constructor needs."""

    def __post_init__(self) -> None:
        _check_statistics("video", self.channels, self.mean, self.std)


@dataclass(frozen=True)
class AudioConfig:
    """The audio latent, shape (B, channels, La); one token covers `samples_per_token` samples."""

    codec: str
    channels: int
    sample_rate: int
    samples_per_token: int
    max_voice_tokens: int = 257
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    phase: float = 0.5
    """Where in its own time a token stands on the clock: in the middle, or at the start (NAVA: 0)."""

    def __post_init__(self) -> None:
        _check_statistics("audio", self.channels, self.mean, self.std)


@dataclass(frozen=True)
class TextConfig:
    """The text encoder: `encoder` names it, `tokens` is the fixed length its output is zero-padded to."""

    encoder: str
    tokens: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SamplingConfig:
    """The settings a model was trained for; defaults of `generate` and of the templates. The scales are those of `flow.Guidance`."""

    shift: float = 5.0
    steps: int = 50
    text_scale: float = 5.0
    seconds: float = 5.0
    audio_text_scale: float | None = None
    """None: as `text_scale`, which is then that of both streams."""
    voice_scale: float = 1.0
    video_sync_scale: float = 0.0
    audio_sync_scale: float = 0.0
    lone_voice: bool = False
    """Whether the voice is heard in the full pass alone, and guides the sound alone (NAVA)."""


@dataclass(frozen=True)
class ModelConfig:
    """A whole model. `to_metadata` and `from_metadata` are its way in and out of a safetensors header."""

    name: str
    transformer: TransformerConfig
    video: VideoConfig
    audio: AudioConfig
    text: TextConfig
    sampling: SamplingConfig = SamplingConfig()

    @property
    def timeline(self) -> Timeline:
        return Timeline(
            fps=self.video.fps,
            temporal_stride=self.video.temporal_stride,
            sample_rate=self.audio.sample_rate,
            samples_per_token=self.audio.samples_per_token,
            audio_phase=self.audio.phase,
        )

    @property
    def size_step(self) -> int:
        """Pixels: width and height must be multiples of it."""
        return self.video.spatial_stride * self.transformer.video_patch[1]

    def to_metadata(self) -> dict[str, str]:
        return {METADATA_KEY: json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, sort_keys=True)}

    def with_options(self, options: Mapping[str, Mapping[str, Any]]) -> ModelConfig:
        """The same model with some entries of its groups replaced, such as {"transformer": {"rope": "index"}}. Raises ConfigError."""
        raw = dataclasses.asdict(self)
        for group, entries in options.items():
            if group not in _NESTED:
                raise ConfigError(f"a model has no group '{group}'; it has {', '.join(_NESTED)}")
            raw[group] |= entries
        return _build(ModelConfig, raw, ModelConfig.__name__)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None) -> ModelConfig:
        """Raises ConfigError when the metadata holds no UniTalking configuration or one of another format version."""
        text = (metadata or {}).get(METADATA_KEY)
        if text is None:
            raise ConfigError(f"no '{METADATA_KEY}' entry in the file's metadata")
        try:
            raw = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"the metadata entry '{METADATA_KEY}' is not JSON: {error}") from error
        if not isinstance(raw, dict) or raw.pop("format", None) != FORMAT:
            raise ConfigError(f"the metadata entry '{METADATA_KEY}' is not in the format {FORMAT}")
        return _build(cls, raw, cls.__name__)


_NESTED = {
    "transformer": TransformerConfig,
    "video": VideoConfig,
    "audio": AudioConfig,
    "text": TextConfig,
    "sampling": SamplingConfig,
}


def _build(cls: type, raw: Mapping[str, Any], where: str) -> Any:
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where} must be a group of entries, got {raw!r}")
    known = {f.name for f in dataclasses.fields(cls)}
    unknown = sorted(set(raw) - known)
    if unknown:
        raise ConfigError(f"{where}: unknown entries {', '.join(unknown)}; the file may need a newer version of the pack")
    values = {}
    for name, value in raw.items():
        if cls is ModelConfig and name in _NESTED:
            values[name] = _build(_NESTED[name], value, name)
        else:
            values[name] = _tuples(value)
    try:
        return cls(**values)
    except (TypeError, ArithmeticError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _check_statistics(what: str, channels: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    for name, values in (("mean", mean), ("std", std)):
        if values and len(values) != channels:
            raise ConfigError(f"{what} {name} has {len(values)} values for {channels} channels")


def _check_names(what: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    if unknown := sorted(set(names) - set(known)):
        raise ConfigError(f"{what} names {', '.join(unknown)}; what can be shared is {', '.join(known)}")
