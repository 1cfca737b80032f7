"""The LATENT of a clip: both streams nested, a mask that says what is given, and what the streams alone do not tell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from comfy.nested_tensor import NestedTensor
from torch import Tensor

from ..unitalking_core.conditions.portrait import Fit
from ..unitalking_core.config import ModelConfig
from ..unitalking_core.stretches import Levels
from ..unitalking_core.tasks import TASKS, Task
from ..unitalking_core.timeline import Clip
from .run import by_kind

INFO = "unitalking"
"""Extra key of the LATENT: its `ClipInfo`. Core nodes that do not know it hand it on."""
NEARLY_ZERO = 1e-6
"""What an empty stream of sound alone is filled with: core's samplers give an all-zero latent the model's number of video channels. At the
first noise level, 1, nothing of it is left."""


@dataclass(frozen=True)
class GivenVideo:
    """Frames that were given, as they came: `frames` of a VIDEO of the host, fitted to `size` (width, height) unless that is None.

    They stand in place of the first `replaces` decoded frames, or of all of them with their own rate and size (None), as long as the
    clip's first latents still are `latent` (1, C, n, h, w), what the codec made of the end of them.
    """

    video: Any
    frames: range | list[int]
    latent: Tensor
    size: tuple[int, int] | None = None
    fit: Fit = "crop"
    replaces: int | None = None


@dataclass(frozen=True)
class GivenAudio:
    """Sound that was given, as it came: `waveform` (1, channels, N) at `sample_rate`, in place of the first `replaces` decoded samples or
    of all of them (None), as long as the clip's first tokens still are `latent` (1, C, n). `gain`: how much louder the model heard it."""

    waveform: Tensor
    sample_rate: int
    latent: Tensor
    replaces: int | None = None
    gain: float = 1.0


@dataclass(frozen=True)
class ClipInfo:
    """What a clip was laid out for: a model, a length in frames, what was given before it became a latent, how loud its parts are made."""

    config: ModelConfig
    frames: int
    video: GivenVideo | None = None
    audio: GivenAudio | None = None
    levels: Levels | None = None

    @property
    def clip(self) -> Clip:
        return Clip(self.config.timeline, self.frames)


def model_config(model: Any) -> ModelConfig:
    """The configuration of a MODEL. Raises ValueError when it is not one of UniTalking's."""
    config = getattr(model.model, "unitalking", None)
    if config is None:
        raise ValueError(
            f"the model connected here is {type(model.model).__name__}, not a UniTalking model; connect the MODEL of Load UniTalking Model"
        )
    return config


def clip_latent(config: ModelConfig, clip: Clip, width: int, height: int, first_frame: Tensor | None = None) -> dict[str, Any]:
    """An empty clip of `width` x `height` pixels; `first_frame` (1, C, 1, h, w), as the VAE made it, becomes its given first latent."""
    video, audio = _zeros(config, clip, width, height)
    latent: dict[str, Any] = {"samples": NestedTensor((video, audio)), INFO: ClipInfo(config, clip.frames)}
    if first_frame is not None:
        video[:, :, :1] = first_frame
        latent["noise_mask"] = task_mask(TASKS["TI2AV"], video, audio)
    return latent


def speech_latent(config: ModelConfig, clip: Clip) -> dict[str, Any]:
    """Sound alone, with nothing given."""
    shape = (1, config.audio.channels, clip.audio_tokens)
    samples = torch.full(shape, NEARLY_ZERO, device=comfy.model_management.intermediate_device())
    return {"samples": samples, INFO: ClipInfo(config, clip.frames)}


def continuing_latent(info: ClipInfo, video: Tensor, audio: Tensor, width: int, height: int) -> dict[str, Any]:
    """A clip that begins with given latents: video (1, C, n, h, w) and audio (1, C, m)."""
    streams = _zeros(info.config, info.clip, width, height)
    known = video.shape[2], audio.shape[-1]
    streams[0][:, :, : known[0]], streams[1][..., : known[1]] = video, audio
    mask = task_mask(TASKS["continuation"], *streams, prefix=known)
    return {"samples": NestedTensor(streams), "noise_mask": mask, INFO: info}


def finished_latent(info: ClipInfo, video: Tensor, audio: Tensor) -> dict[str, Any]:
    """A clip that is made: video (1, C, T, h, w) and audio (1, C, La)."""
    return {"samples": NestedTensor((video, audio)), INFO: info}


def _zeros(config: ModelConfig, clip: Clip, width: int, height: int) -> tuple[Tensor, Tensor]:
    device, stride = comfy.model_management.intermediate_device(), config.video.spatial_stride
    video = torch.zeros(1, config.video.channels, clip.video_latents, height // stride, width // stride, device=device)
    return video, torch.zeros(1, config.audio.channels, clip.audio_tokens, device=device)


def task_mask(task: Task, video: Tensor, audio: Tensor, prefix: tuple[int, int] = (0, 0)) -> NestedTensor:
    """The mask of a task with both streams: 1 is generated, 0 is given."""
    masks = task.masks(video.shape[2], audio.shape[-1], prefix=prefix)
    return NestedTensor((_wide(masks[0], video), masks[1].reshape(1, 1, -1)))


def _wide(mask: Tensor, video: Tensor) -> Tensor:
    return mask.reshape(1, 1, -1, 1, 1).expand(1, 1, *video.shape[2:]).contiguous()


def with_audio_given(latent: dict[str, Any], clip: Clip, audio: Tensor, given: GivenAudio) -> dict[str, Any]:
    """The latent, `clip` long, with its whole audio stream given: (1, C, La)."""
    video, _, video_mask, _ = _streams_and_masks(latent, clip)
    mask = torch.zeros(1, 1, audio.shape[-1])
    info = replace(clip_info(latent), frames=clip.frames, audio=given)
    return {**latent, "samples": NestedTensor((video, audio.to(video))), "noise_mask": NestedTensor((video_mask, mask)), INFO: info}


def with_video_given(latent: dict[str, Any], clip: Clip, video: Tensor, given: GivenVideo) -> dict[str, Any]:
    """The latent, `clip` long, with its whole video stream given: (1, C, T, h, w)."""
    _, audio, _, audio_mask = _streams_and_masks(latent, clip)
    mask = torch.zeros(1, 1, *video.shape[2:])
    info = replace(clip_info(latent), frames=clip.frames, video=given)
    return {**latent, "samples": NestedTensor((video.to(audio), audio)), "noise_mask": NestedTensor((mask, audio_mask)), INFO: info}


def _streams_and_masks(latent: dict[str, Any], clip: Clip) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both streams and their masks, cut or lengthened (with nothing given) to `clip`."""
    video, audio = joint_streams(latent)
    given = _masks(latent)
    ones = torch.ones(1, 1, *video.shape[2:]), torch.ones(1, 1, audio.shape[-1])
    video_mask, audio_mask = (
        comfy.utils.reshape_mask(given[i], (1, 1, *x.shape[2:])) if i < len(given) else ones[i] for i, x in enumerate((video, audio))
    )
    return (
        _lasting(video, 2, clip.video_latents, 0.0),
        _lasting(audio, 2, clip.audio_tokens, 0.0),
        _lasting(video_mask, 2, clip.video_latents, 1.0),
        _lasting(audio_mask, 2, clip.audio_tokens, 1.0),
    )


def _lasting(x: Tensor, axis: int, length: int, filling: float) -> Tensor:
    x = x.narrow(axis, 0, min(length, x.shape[axis]))
    shape = list(x.shape)
    shape[axis] = length - x.shape[axis]
    return torch.cat([x, x.new_full(shape, filling)], dim=axis)


def clip_streams(latent: dict[str, Any]) -> tuple[Tensor | None, Tensor | None]:
    """Video and audio of a LATENT; None for an absent one. Raises ValueError for a latent of another kind."""
    samples = latent["samples"]
    return by_kind(samples.unbind() if getattr(samples, "is_nested", False) else [samples])


def made_streams(latent: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a run makes something of the picture and of the sound: not where one is absent, or given whole."""
    video, audio = clip_streams(latent)
    if video is None or audio is None:
        return video is not None, audio is not None
    masks = _masks(latent)
    return tuple(i >= len(masks) or bool(masks[i].any()) for i in (0, 1))  # type: ignore[return-value]


def _masks(latent: dict[str, Any]) -> list[Tensor]:
    """The noise masks of a LATENT, of its first streams."""
    masks = latent.get("noise_mask")
    return list(masks.unbind()) if getattr(masks, "is_nested", False) else [m for m in (masks,) if m is not None]


def joint_streams(latent: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Video and audio of a LATENT that has both. Raises ValueError otherwise, or for a batch."""
    video, audio = clip_streams(latent)
    if video is None or audio is None:
        there = "sound" if video is None else "picture"
        raise ValueError(f"this latent holds {there} only; begin with UniTalking Empty Clip or Encode Portrait")
    if video.shape[0] != 1:
        raise ValueError(f"one clip at a time: this latent is a batch of {video.shape[0]}; pick one of them first")
    return video, audio


def clip_info(latent: dict[str, Any]) -> ClipInfo:
    """What a LATENT was laid out for. Raises ValueError for one that was not made by UniTalking's nodes."""
    info = latent.get(INFO)
    if not isinstance(info, ClipInfo):
        raise ValueError("this latent does not say which model it is for; begin with UniTalking Empty Clip or Encode Portrait")
    return info


def clip_of(latent: dict[str, Any], config: ModelConfig) -> Clip:
    """The length of a LATENT: from its video, else from what it was made with."""
    video, audio = clip_streams(latent)
    if video is not None:
        return config.timeline.clip_of_latents(video.shape[2])
    info = latent.get(INFO)
    return info.clip if isinstance(info, ClipInfo) else config.timeline.clip(audio.shape[-1] / float(config.timeline.token_rate))


def still_given(latent: dict[str, Any]) -> tuple[GivenVideo | None, GivenAudio | None]:
    """What was given and still stands in the latent, bit for bit; None where another node has changed it since."""
    info, (video, audio) = latent.get(INFO), clip_streams(latent)
    if not isinstance(info, ClipInfo):
        return None, None
    return _standing(info.video, video), _standing(info.audio, audio)


def levels_of(latent: dict[str, Any]) -> Levels | None:
    """How loud the parts of a long clip are made."""
    info = latent.get(INFO)
    return info.levels if isinstance(info, ClipInfo) else None


def _standing(given: Any, stream: Tensor | None) -> Any:
    if given is None or stream is None or stream.shape[2] < given.latent.shape[2]:
        return None
    return given if torch.equal(stream.narrow(2, 0, given.latent.shape[2]), given.latent.to(stream)) else None


def require_finite(latent: dict[str, Any], what: str) -> None:
    """Raises ValueError that names the stream when a latent holds NaN or infinity."""
    for name, stream in zip(("video", "audio"), clip_streams(latent), strict=True):
        if stream is not None and not torch.isfinite(stream).all():
            raise ValueError(
                f"{what}: the {name} latent holds NaN or infinity, nothing can be decoded from it. Load the model with weight_dtype "
                "'default', and take other attention or quantisation nodes out of the MODEL's path."
            )


def require_finite_step(x0: Any, model: Any) -> None:
    """Raises ValueError when what a step made holds NaN, with the weights that do where there are some: going on would only take time."""
    streams = x0.unbind() if getattr(x0, "is_nested", False) else [x0]
    if all(bool(torch.isfinite(stream).all()) for stream in streams):
        return
    broken = [key for key, weight in model.model.diffusion_model.state_dict().items() if not _finite(weight)]
    if broken:
        named = ", ".join(broken[:3]) + (" ..." if len(broken) > 3 else "")
        raise ValueError(
            f"{len(broken)} of the model's weights hold NaN or infinity: {named}. The training diverged, the file is damaged, or values "
            "are too large for fp8; try weight_dtype 'default', else another checkpoint"
        )
    require_finite({"samples": x0}, "the first step went wrong")


def _finite(weight: Tensor) -> bool:
    if not weight.is_floating_point():
        return True
    return bool(torch.isfinite(weight.float() if weight.dtype.itemsize == 1 else weight).all())
