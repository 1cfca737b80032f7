"""The UniTalking transformer: two identical streams that meet in one joint self-attention per block.

`UniTalkingTransformer` *is* the video stream, with Wan2.2's parameter names at its root, and holds its twin as `audio`. What the
configuration lets both share is one object, named in the video stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import ModelConfig
from ..prediction import Guess, cropped, expected_around, normalise, to_velocity
from ..rope import audio_angles, index_angles, tables, video_angles
from ..tasks import JOINT, Visibility
from .attention import QKV, ConditionKV, joint_attention
from .operations import Attend, Operations
from .operations import attend as plain_attend
from .stream import Block, Stream, gated, modulate, share


class Conditions(NamedTuple):
    """Text and voice made ready for every block of both streams; constant over a run. Make it with `prepare`."""

    video: Sequence[ConditionKV]
    audio: Sequence[ConditionKV]
    gate: Tensor | None


class StreamState(NamedTuple):
    """What one stream's blocks need beside its tokens: block modulation e (B, G, 6, D), RoPE tables (L, d/2).

    What the head needs after them: its own modulation (B, G, D), the token grid, the latent that came in, and for models that predict
    data its noise levels and where its data are expected.
    """

    e: Tensor
    rope: tuple[Tensor, Tensor]
    head_e: Tensor
    grid: tuple[int, ...]
    latent: Tensor
    around: tuple[Tensor, Guess] | None


RunBlock = Callable[[int, Callable[[Tensor | None, Tensor | None], tuple[Tensor | None, Tensor | None]], Tensor | None, Tensor | None], Any]


class UniTalkingTransformer(Stream):
    """Predicts the velocity of both latents.

    Shapes: video latent (B, Cv, T, h, w), audio latent (B, Ca, La), text (B, Lt, text_dim); voice as in `prepare`.
    """

    def __init__(self, config: ModelConfig, *, operations: Any = Operations, device: Any = None, dtype: torch.dtype | None = None) -> None:
        factory = {"device": device, "dtype": dtype}
        c = config.transformer
        super().__init__(c, config.video.channels, config.audio.channels, c.video_patch, operations, **factory)
        self.audio = Stream(c, config.audio.channels, config.audio.channels, None, operations, **factory)
        share(self, self.audio, c)
        self.timeline = config.timeline
        self.change = config.video.change
        self._rope: dict[tuple, tuple[Tensor, Tensor]] = {}

    def prepare(self, text: Tensor, voice: Tensor | None = None, gate: Tensor | None = None, *, video: bool = True) -> Conditions:
        """Everything that depends on the conditions alone; `video` False leaves out what a run without video does not read.

        text (B, Lt, text_dim), zero-padded as the encoder does; voice (B, Ca, Lr) in model space; gate (B,) of exact 0 or 1 says which
        rows have a voice (all of them when it is None). For models that tell speakers apart: voice (B, speaker_dim, Lt), and gate (B, Lt)
        says which rows of the text become the speaker at their place (`conditions.speakers`).
        """
        if gate is not None and not bool(gate.any()):
            voice = gate = None
        if self.config.speakers and (voice is None) != (gate is None):
            raise ValueError("this model reads voices at marked rows of the text: give voice (B, speaker_dim, Lt) and gate (B, Lt)")
        for_video = self.embed_conditions(text, voice, gate, {}) if video else []
        one = {"text_embedding", "voice_embedding"} <= set(self.config.shared_embeddings)
        made = dict(zip((block.cross_attn for block in self.blocks), for_video, strict=False)) if one else {}
        for_audio = self.audio.embed_conditions(text, voice, gate, made)
        return Conditions(for_video, for_audio, None if gate is None or self.config.speakers else gate.reshape(-1, 1, 1))

    def forward(
        self,
        video: Tensor | None,
        audio: Tensor | None,
        t_video: Tensor | None,
        t_audio: Tensor | None,
        conditions: Conditions,
        visibility: Visibility | Sequence[Visibility] = JOINT,
        *,
        audio_start: float = 0.0,
        attend: Attend = plain_attend,
        run_block: RunBlock | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Velocities of both latents; None for a stream that is absent.

        t_video (B,), (B, T) or (B, Lv); t_audio (B,) or (B, La); in [0, 1000]; a group that is given has t = 0. `run_block(i, block, v, a)`
        may wrap the call of a block. Video sizes that the patch does not divide are padded inside and cropped again. `audio_start` is the
        RoPE position at which the sound begins, other than 0 where the video has latents in front that are not part of the clip's time.
        Raises ValueError when both streams are absent or a timestep does not match its tokens.
        """
        if video is None and audio is None:
            raise ValueError("both streams are absent: give a video latent, an audio latent or both")
        v_tokens, v = self._enter(self, video, t_video, 0.0)
        a_tokens, a = self._enter(self.audio, audio, t_audio, audio_start)
        for i, (video_block, audio_block) in enumerate(zip(self.blocks, self.audio.blocks, strict=True)):
            step = partial(self._step, i, video_block, audio_block, v, a, conditions=conditions, visibility=visibility, attend=attend)
            v_tokens, a_tokens = step(v_tokens, a_tokens) if run_block is None else run_block(i, step, v_tokens, a_tokens)
        return self._leave(self, v_tokens, v), self._leave(self.audio, a_tokens, a)

    def _enter(
        self, stream: Stream, latent: Tensor | None, t: Tensor | None, start: float
    ) -> tuple[Tensor, StreamState] | tuple[None, None]:
        """A stream's tokens (B, L, D) and what goes with them through the blocks; the tokens apart, so that the first ones are let go."""
        if latent is None:
            return None, None
        if t is None:
            raise ValueError("a latent came without its timestep: give t_video with video and t_audio with audio")
        t = t.reshape(len(t), -1)
        _, ph, pw = stream.patch or (1, 1, 1)
        padding = (0, -latent.shape[-1] % pw, 0, -latent.shape[-2] % ph) if stream.patch else (0, 0)
        grid = stream.grid(F.pad(latent, padding).shape)
        if math.prod(grid) % t.shape[1]:
            raise ValueError(f"{t.shape[1]} timesteps do not divide {math.prod(grid)} tokens into equal groups")
        expects = self.config.predicts == "data" and stream is self
        around = expected_around(latent, t, grid, self.config.video_patch, self.change) if expects else None
        seen = latent if around is None else normalise(latent, *around)
        x = stream.embed(F.pad(seen, padding))
        e, projected = stream.embed_time(t, x.dtype)
        return x, StreamState(projected, self._rope_tables(stream, grid, start, x.device), e, grid, latent, around)

    def _leave(self, stream: Stream, tokens: Tensor | None, state: StreamState | None) -> Tensor | None:
        """The velocity, in the shape of the latent that came in."""
        if tokens is None or state is None:
            return None
        out = stream.unembed(tokens, state.head_e, state.grid)[cropped(state.latent)]
        return out if state.around is None else to_velocity(out, state.latent, *state.around)

    def _rope_tables(self, stream: Stream, grid: tuple[int, ...], start: float, device: torch.device) -> tuple[Tensor, Tensor]:
        key = (grid, start, device)
        if key not in self._rope:
            if len(self._rope) > 8:  # a handful of sizes at most is ever live; the rest is what earlier runs left
                self._rope.clear()
            width = self.config.dim // self.config.heads
            if stream.patch is not None:
                angles = video_angles(grid, width)
            elif self.config.rope == "index":
                angles = index_angles([start + n for n in range(grid[0])], width)
            else:
                angles = audio_angles(self.timeline.audio_positions(grid[0], start), width)
            with torch.inference_mode(False):  # the tables outlive a run without gradients and may serve one with them
                self._rope[key] = tables(angles.clone(), device)
        return self._rope[key]

    def _step(
        self,
        i: int,
        video_block: Block,
        audio_block: Block,
        video: StreamState | None,
        audio: StreamState | None,
        v: Tensor | None,
        a: Tensor | None,
        *,
        conditions: Conditions,
        visibility: Visibility | Sequence[Visibility],
        attend: Attend,
    ) -> tuple[Tensor | None, Tensor | None]:
        """One block on both token sequences. A stream that is absent takes no part."""
        streams = [
            (block, x, block.modulation(state.e).to(x.dtype).unbind(2), state.rope, kv[i])
            for block, x, state, kv in ((video_block, v, video, conditions.video), (audio_block, a, audio, conditions.audio))
            if x is not None and state is not None
        ]
        seen = self._attended(streams, visibility, attend)
        outs = []
        for block, x, m, _, kv in streams:
            x = gated(x, seen.pop(0), m[2])
            x = x + block.cross_attn(block.norm3(x), kv, conditions.gate, attend)
            outs.append(gated(x, block.ffn(modulate(block.norm2(x), m[3], m[4])), m[5]))
        return (outs[0] if v is not None else None), (outs[-1] if a is not None else None)

    def _attended(self, streams: Sequence[tuple], visibility: Visibility | Sequence[Visibility], attend: Attend) -> list[Tensor]:
        """What the joint attention adds to each stream.

        A function of its own, so that q, k and v are gone when the feed-forward layers need the most memory.
        """
        qkv: list[QKV] = [block.self_attn.qkv(modulate(block.norm1(x), m[0], m[1]), rope) for block, x, m, rope, _ in streams]
        heads = self.config.heads
        attended = joint_attention(qkv[0], qkv[1], heads, attend, visibility) if len(qkv) == 2 else (attend(*qkv[0], heads),)
        return [block.self_attn.o(rows) for (block, *_), rows in zip(streams, attended, strict=True)]
