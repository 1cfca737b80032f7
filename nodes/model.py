"""UniTalking as a first-class MODEL of the host: its BaseModel and its configuration class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.nested_tensor import NestedTensor
from torch import Tensor

from ..unitalking_core.checkpoint import CONFIG_TENSOR, config_tensor
from ..unitalking_core.conditions.speakers import place_voices, require_kind
from ..unitalking_core.conditions.voice import fit_voice_tokens
from ..unitalking_core.config import ModelConfig
from ..unitalking_core.latents import from_model_space, to_model_space
from ..unitalking_core.tasks import visibility_of
from .run import RUN, Run, by_kind, stream_sizes
from .text import PLACES
from .transformer import RUN_OPTION, HostTransformer

VOICE = "unitalking_voice"
"""Key of the conditioning entry that holds a voice: its latent (1, C, L), as the audio VAE made it, or speaker vectors (1, S, N)."""


class UniTalkingModel(comfy.model_base.BaseModel):
    """The host's view of a joint run: normalisation, timesteps and masks of both streams, memory, context windows."""

    def __init__(self, model_config: UniTalkingSupported, device: Any = None) -> None:
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=HostTransformer)
        self.unitalking: ModelConfig = model_config.unitalking

    # Normalisation: the host calls these with a pack, a nested pair or a single stream.

    def process_latent_in(self, latent: Any) -> Any:
        return self._each_stream(latent, to_model_space)

    def process_latent_out(self, latent: Any) -> Any:
        return self._each_stream(latent, from_model_space)

    def _each_stream(self, latent: Any, change: Any) -> Any:
        def apply(video: Tensor | None, audio: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
            return tuple(
                None if x is None else change(x, part) for x, part in ((video, self.unitalking.video), (audio, self.unitalking.audio))
            )

        if getattr(latent, "is_nested", False):
            return NestedTensor([x for x in apply(*by_kind(latent.unbind())) if x is not None])
        run = RUN.get() or Run([tuple(latent.shape)])
        video, audio = run.split(latent)
        for x, part in ((video, self.unitalking.video), (audio, self.unitalking.audio)):
            if x is not None and x.shape[1] != part.channels:
                raise ValueError(
                    f"a latent of shape {tuple(x.shape)} came to a model of {part.channels} channels; use the model's own VAEs"
                )
        return run.join(*apply(video, audio))

    # Conditions.

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        """Text, voice with its gate, timesteps of given parts, visibility. The keys are always the same, so that passes batch."""
        out = super().extra_conds(**kwargs)
        text = kwargs.get("cross_attn")
        if text is not None:
            text = text.to(kwargs["device"])
            out["c_crossattn"] = comfy.conds.CONDRegular(text)
        if self.unitalking.transformer.speakers:
            out.update({} if text is None else self._speaker_conds(kwargs.get(VOICE), kwargs.get(PLACES) or (), text))
        else:
            out.update(self._voice_conds(kwargs.get(VOICE), kwargs["device"]))
        shapes = kwargs.get("latent_shapes")
        if shapes is not None and len(shapes) > 1:
            out["latent_shapes"] = comfy.conds.CONDConstant(shapes)
        if kwargs.get("denoise_mask") is not None:
            out.update(self._mask_conds(kwargs["denoise_mask"], shapes))
        return out

    def _voice_conds(self, voice: Tensor | None, device: torch.device) -> dict[str, Any]:
        audio = self.unitalking.audio
        if voice is not None:
            require_kind(voice, self.unitalking)
        if voice is None:
            latent, gate = torch.zeros(1, audio.channels, audio.max_voice_tokens), torch.zeros(1)
        else:
            latent, gate = fit_voice_tokens(to_model_space(voice, audio), audio.max_voice_tokens), torch.ones(1)
        return {"voice": comfy.conds.CONDRegular(latent.to(device)), "voice_gate": comfy.conds.CONDRegular(gate.to(device))}

    def _speaker_conds(self, voices: Tensor | None, places: Sequence[int], text: Tensor) -> dict[str, Any]:
        rows, width = text.shape[1], self.unitalking.transformer.speaker_dim
        if voices is None:
            voice, gate = torch.zeros(1, width, rows), torch.zeros(1, rows)
        else:
            require_kind(voices, self.unitalking)
            voice, gate = place_voices(voices, places, rows)
        return {"voice": comfy.conds.CONDRegular(voice.to(text.device)), "voice_gate": comfy.conds.CONDRegular(gate.to(text.device))}

    def _mask_conds(self, mask: Tensor, shapes: Any) -> dict[str, Any]:
        video, audio = by_kind(comfy.utils.unpack_latents(mask, shapes))
        out: dict[str, Any] = {
            "visibility": comfy.conds.CONDConstant(visibility_of(video is None or bool(video.any()), audio is None or bool(audio.any())))
        }
        if video is not None:
            out["denoise_mask"] = comfy.conds.CONDRegular(_video_groups(video, self.unitalking.transformer.video_patch))
        if audio is not None:
            out["audio_denoise_mask"] = comfy.conds.CONDRegular(audio[:, 0])
        return out

    def process_timestep(
        self, timestep: Tensor, denoise_mask: Tensor | None = None, audio_denoise_mask: Tensor | None = None, **_: Any
    ) -> Any:
        """Timesteps per token group: t where a group is generated, 0 where it is given."""
        return tuple(timestep if mask is None else mask * timestep[:, None] for mask in (denoise_mask, audio_denoise_mask))

    def scale_latent_inpaint(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, **_: Any) -> Tensor:
        """What is given goes in clean at every step."""
        return latent_image

    def _apply_model(
        self,
        x: Tensor,
        t: Tensor,
        c_concat: Any = None,
        c_crossattn: Any = None,
        control: Any = None,
        transformer_options: dict | None = None,
        **kwargs: Any,
    ) -> Tensor:
        options = dict(transformer_options or {})
        # Hooks may change weights from step to step: what was prepared with other weights must not be used again.
        hooks = getattr(self.current_patcher, "current_hooks", None)
        options[RUN_OPTION] = RUN.get() if hooks is None else None
        return super()._apply_model(x, t, c_concat, c_crossattn, control, options, **kwargs)

    def state_dict_for_saving(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Core's saving nodes lose our metadata; the configuration travels as a tensor instead."""
        return {**super().state_dict_for_saving(*args, **kwargs), CONFIG_TENSOR: config_tensor(self.unitalking)}

    # Memory and context windows.

    def memory_required(self, input_shape: Any, cond_shapes: Any = None) -> float:
        """Bytes at the widest point of a block, plus the keys and values that a run keeps.

        Counted in tensors of a stream's tokens, as the block has them at once: joining q, k and v for the attention (the tokens, q, k and v
        twice, the result twice), rotating k in float32, or the feed-forward layers (the tokens before and after, their modulated norm, the
        hidden layer before and after its activation). The host is taken to have an attention that keeps no table of scores.
        """
        c, run = self.unitalking.transformer, RUN.get()
        if run is None:  # another thread, or an estimate outside a run: all of the pack counted as video
            video, audio = input_shape[-1] // self.unitalking.video.channels // math.prod(c.video_patch), 0
        else:
            part = input_shape[-1] / sum(math.prod(s[1:]) for s in run.shapes) if len(run.shapes) > 1 else 1.0  # a context window
            video, audio = (math.ceil(part * tokens) for tokens in stream_sizes(run.shapes, c.video_patch))
        rows, size = input_shape[0], comfy.model_management.dtype_size(self.get_dtype_inference())
        tokens, wider = video + audio, max(video, audio)
        attention = 9 * tokens * c.dim * size
        rotation = tokens * c.dim * size + wider * c.dim * (3 * size + 3 * 4)
        feed_forward = 2 * tokens * c.dim * size + wider * (c.dim + 2 * c.ffn_dim) * size
        conditions = self.unitalking.text.tokens + self.unitalking.audio.max_voice_tokens
        shared = sum(last - first + 1 for first, last, modules in c.sharing if "cross_attn" in modules)
        kept = 0 if run is not None and run.prepared else (2 * c.layers - shared) * 2 * conditions * c.dim * size
        cast = c.dim * c.ffn_dim * size if self.manual_cast_dtype is not None else 0
        return float(rows * (max(attention, rotation, feed_forward) + kept) + cast)

    def map_context_window_to_modalities(self, primary_indices: list[int], latent_shapes: Any, dim: int) -> list[list[int]]:
        """Audio tokens that sound during the video latents of a context window."""
        if len(latent_shapes) < 2:
            return [primary_indices]
        ratio = latent_shapes[1][dim] / latent_shapes[0][dim]
        last = latent_shapes[1][dim] - 1
        audio: dict[int, None] = {}
        for i in primary_indices:
            start = min(round(i * ratio), last)
            audio.update(dict.fromkeys(range(start, max(start + 1, min(round((i + 1) * ratio), last + 1)))))
        return [primary_indices, list(audio)]

    def resize_cond_for_context_window(
        self, cond_key: str, cond_value: Any, window: Any, x_in: Any, device: Any, retain_index_list: Any = ()
    ) -> Any:
        if cond_key in ("voice", "voice_gate", "c_crossattn"):
            return cond_value
        if cond_key == "audio_denoise_mask":
            return cond_value._copy_with(window.get_window_for_modality(1).get_tensor(cond_value.cond, device, dim=1))
        if cond_key == "denoise_mask":
            groups = window.get_tensor(cond_value.cond.unflatten(1, (window.total_frames, -1)), device, dim=1)
            return cond_value._copy_with(groups.flatten(1))
        return super().resize_cond_for_context_window(cond_key, cond_value, window, x_in, device, retain_index_list=list(retain_index_list))


class UniTalkingSupported(comfy.supported_models_base.BASE):
    """How the host builds and saves the model. There is no detection: the loader reads the checkpoint's own configuration."""

    unet_config = {"image_model": "unitalking"}  # noqa: RUF012  the host's convention
    unet_extra_config = {}  # noqa: RUF012  the host's default would leak num_heads into the constructor
    supported_inference_dtypes = [torch.bfloat16, torch.float32]  # noqa: RUF012
    memory_usage_factor = 1.0

    def __init__(self, config: ModelConfig) -> None:
        super().__init__({**self.unet_config, "config": config})
        self.unitalking = config
        self.sampling_settings = {"shift": config.sampling.shift}
        self.latent_format = _latent_format(config)

    def get_model(self, state_dict: Any, prefix: str = "", device: Any = None) -> UniTalkingModel:
        return UniTalkingModel(self, device=device)

    def set_inference_dtype(self, dtype: Any, manual_cast_dtype: Any, device: Any = None) -> None:
        """Which device it is makes no difference here, and hosts before 0.30 do not take it."""
        super().set_inference_dtype(dtype, manual_cast_dtype)


def _latent_format(config: ModelConfig) -> comfy.latent_formats.LatentFormat:
    """Video comes first in a joint latent, so the format is the video's: geometry and preview colours."""
    video = config.video
    form = comfy.latent_formats.Wan22() if video.codec == "wan2.2-vae" else comfy.latent_formats.LatentFormat()
    form.latent_rgb_factors_reshape = partial(_preview_part, channels=video.channels)
    if video.codec == "wan2.2-vae":
        return form
    form.latent_channels, form.latent_dimensions = video.channels, 3
    form.spacial_downscale_ratio, form.temporal_downscale_ratio = video.spatial_stride, video.temporal_stride
    if video.preview:
        form.latent_rgb_factors, form.latent_rgb_factors_bias = [list(row) for row in video.preview[:-1]], list(video.preview[-1])
    return form


def _preview_part(x: Tensor, channels: int) -> Tensor:
    """What a preview shows: the middle of the clip, as the first frame may be given; nothing for sound alone."""
    return x[:, :, x.shape[2] // 2 :] if x.ndim == 5 else x.new_zeros(1, channels, 1, 1, 1)


def _video_groups(mask: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """Mask (B, C, T, h, w) -> (B, T) where it is the same all over each latent frame, else (B, tokens)."""
    mask = mask[:, 0]
    per_frame = mask.amax(dim=(2, 3))
    if torch.equal(per_frame, mask.amin(dim=(2, 3))):
        return per_frame
    return torch.nn.functional.max_pool2d(mask, patch[1:], ceil_mode=True).flatten(1)
