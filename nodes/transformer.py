"""The core's transformer behind the host's calling convention: lists of streams, wrappers, patches, conditions kept for a run."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers
from torch import Tensor

from ..unitalking_core.config import ModelConfig
from ..unitalking_core.tasks import APART, JOINT, Visibility
from ..unitalking_core.transformer import Conditions, UniTalkingTransformer
from .operations import host_attention, with_modulation
from .run import Run, by_kind

APART_INDEX = "unitalking_apart"
"""transformer_options: index of the condition whose rows run with the streams apart."""
RUN_OPTION = "unitalking_run"


class HostTransformer(UniTalkingTransformer):
    """The core's transformer behind the host's calling convention."""

    def __init__(self, config: ModelConfig, dtype: torch.dtype | None = None, device: Any = None, operations: Any = None, **_: Any) -> None:
        super().__init__(config, operations=with_modulation(operations), device=device, dtype=dtype)
        self.dtype = dtype

    def forward(
        self, x: Any, timestep: Any, context: Tensor, control: Any = None, transformer_options: dict | None = None, **conds: Any
    ) -> Any:
        """x: list of streams (video first) or one stream's tensor -> the velocity in the same form."""
        options = transformer_options or {}
        wrappers = get_all_wrappers(WrappersMP.DIFFUSION_MODEL, options)
        # EasyCache reads the options from the last positional argument.
        inner = partial(self._velocity, conds=conds)
        return WrapperExecutor.new_class_executor(inner, self, wrappers).execute(x, timestep, context, options)

    def _velocity(self, x: Any, timestep: Any, context: Tensor, options: dict, conds: dict) -> Any:
        streams = list(x) if isinstance(x, (list, tuple)) else [x]
        video, audio = by_kind(streams)
        t_video, t_audio = timestep if isinstance(timestep, (list, tuple)) else (timestep, timestep)
        out = super().forward(
            video,
            audio,
            t_video,
            t_audio,
            self._conditions(context, conds.get("voice"), conds.get("voice_gate"), options),
            self._visibility(context.shape[0], conds.get("visibility", JOINT), options),
            audio_start=_latents_in_front(options),
            attend=host_attention(options),
            run_block=partial(_run_block, options=options),
        )
        masks = conds.get("denoise_mask"), conds.get("audio_denoise_mask")
        patches = self.patch, self.audio.patch
        present = [_masked(v, mask, patch) for v, mask, patch in zip(out, masks, patches, strict=True) if v is not None]
        return present if len(streams) > 1 else present[0]

    def _conditions(self, text: Tensor, voice: Tensor | None, gate: Tensor | None, options: dict) -> Conditions:
        """Keys and values of text and voice, computed once a run for each combination of batch rows."""
        run: Run | None = options.get(RUN_OPTION)
        if run is None:
            return self.prepare(text, voice, gate)
        owner = (id(self), text.device, text.shape[0] // max(1, len(options.get("uuids", ()))))
        return run.prepared.get(owner, options.get("uuids", ()), lambda: self.prepare(text, voice, gate))

    def _visibility(self, rows: int, allowed: Visibility, options: dict) -> Visibility | list[Visibility]:
        chunks = options.get("cond_or_uncond", [])
        apart = options.get(APART_INDEX)
        if apart is None or apart not in chunks:
            return allowed
        per_chunk = rows // len(chunks)
        return [APART if index == apart else allowed for index in chunks for _ in range(per_chunk)]


def _latents_in_front(options: dict) -> float:
    """A context window may have one video latent of another time in front; the sound then begins one position later."""
    return 0.0 if getattr(options.get("context_window"), "causal_anchor_index", None) is None else 1.0


def _run_block(i: int, step: Any, video: Tensor | None, audio: Tensor | None, options: dict) -> tuple[Tensor | None, Tensor | None]:
    """One block, replaced where a node of the host asks for it (`patches_replace["dit"][("double_block", i)]`)."""
    options["block_index"] = i
    replace = options.get("patches_replace", {}).get("dit", {}).get(("double_block", i))
    if replace is None:
        return step(video, audio)
    out = replace({"img": (video, audio), "transformer_options": options}, {"original_block": lambda a: {"img": step(*a["img"])}})
    return out["img"]


def _masked(velocity: Tensor, mask: Tensor | None, patch: tuple[int, int, int] | None) -> Tensor:
    """A group with mask m was noised to m s, and the host steps by s: its velocity is m times what the model says."""
    if mask is None:
        return velocity
    if patch is None:
        return velocity * mask[:, None].to(velocity.dtype)
    frames, height, width = velocity.shape[2:]
    if mask.shape[1] != frames:
        _, ph, pw = patch
        grid = mask.unflatten(1, (frames, -(-height // ph), -1))
        grid = grid.repeat_interleave(ph, 2)[:, :, :height].repeat_interleave(pw, 3)[..., :width]
    else:
        grid = mask[:, :, None, None]
    return velocity * grid[:, None].to(velocity.dtype)
