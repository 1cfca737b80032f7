"""Sampling any row of the table of tasks, several clips at once: true latents in, of which the task gives its part, latents out.

`generate` is the way for users, with its own inputs and previews; this is the way for looking at a model: samples and evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .conditions.voice import fit_voice_tokens
from .flow import Guidance, Pass, sample_euler, uniform_sigmas
from .tasks import APART, Condition, Task, Visibility

if TYPE_CHECKING:
    from .generate import Pipeline


@torch.no_grad()
def sample(
    pipeline: Pipeline,
    task: Task,
    texts: Sequence[str],
    video: Tensor | None,
    audio: Tensor,
    voice: Tensor | None,
    *,
    seeds: Sequence[int],
    steps: int,
    guidance: Guidance,
    visibility: Visibility | None = None,
    prefix: tuple[int, int] = (0, 0),
) -> tuple[Tensor | None, Tensor]:
    """Latents in model space of B clips, each from a seed of its own, so that a clip is the same in any batch up to rounding.

    video (B, C, T, h, w), not needed by a task without picture, and audio (B, C, La) are the true latents; voice (B, C, Lr), or None for
    no voice. `visibility` takes the place of the task's own, to see what the streams make without each other; `prefix`: latents and tokens
    that a continuation is given.
    """
    config, device = pipeline.config, pipeline.device
    latents = 1 if video is None else video.shape[2]
    masks = [None if m is None else m.to(device) for m in task.masks(latents, audio.shape[2], prefix=prefix)]
    known = [None if m is None else d for m, d in zip(masks, (video, audio), strict=True)]
    noises = [None if d is None else torch.empty_like(d) for d in known]
    for row, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        for noise in noises:
            if noise is not None:
                noise[row] = torch.randn(noise.shape[1:], generator=generator).to(device)

    voiced = voice is not None and Condition.VOICE in task.conditions | task.optional
    guidance = guidance if voiced else guidance.without_voice()
    guidance = guidance if video is not None else guidance.without_sync()
    made = [m is not None and bool(m.any()) for m in masks]
    guidance = guidance.where_made(video=made[0], audio=made[1])
    passes, count = guidance.passes, len(texts)
    voice = audio.new_zeros(count, audio.shape[1], 1) if voice is None else voice
    encoded = pipeline.text_encoder.encode([*texts, ""]).to(audio.dtype)
    rows = pipeline.transformer.prepare(
        torch.cat([encoded[-1:].expand(count, -1, -1) if p is Pass.NO_TEXT else encoded[:-1] for p in passes]),
        fit_voice_tokens(voice, config.audio.max_voice_tokens).repeat(len(passes), 1, 1),
        torch.tensor([float(voiced and guidance.hears(p)) for p in passes], device=device).repeat_interleave(count),
        video=video is not None,
    )
    seen = [APART if p is Pass.APART else visibility or task.visibility for p in passes for _ in range(count)]
    wide = [None if m is None or d is None else m.view(1, 1, -1, *[1] * (d.ndim - 3)) for m, d in zip(masks, known, strict=True)]

    def split(flat: Tensor) -> list[Tensor | None]:
        """(B, all) -> the latents, with what is given in its place."""
        sizes = [0 if d is None else d[0].numel() for d in known]
        parts = [None if d is None else p.view(d.shape) for p, d in zip(flat.split(sizes, dim=1), known, strict=True)]
        return [None if p is None or m is None or d is None else m * p + (1 - m) * d for p, m, d in zip(parts, wide, known, strict=True)]

    def velocity(flat: Tensor, s: float) -> Tensor:
        batch = [None if p is None else p.repeat(len(passes), *[1] * (p.ndim - 1)) for p in split(flat)]
        times = [None if m is None else (1000 * s * m).expand(len(seen), -1) for m in masks]
        outs = pipeline.transformer(*batch, *times, rows, seen)
        per_pass = [dict.fromkeys(passes) if o is None else dict(zip(passes, o.float().split(count), strict=True)) for o in outs]
        return torch.cat([v.flatten(1) for v in guidance.combine(*per_pass) if v is not None], dim=1)

    start = torch.cat([n.flatten(1) for n in noises if n is not None], dim=1)
    *_, last = sample_euler(velocity, start, uniform_sigmas(steps, config.sampling.shift))
    made_video, made_audio = split(last)
    assert made_audio is not None  # no task is without sound
    return made_video, made_audio
