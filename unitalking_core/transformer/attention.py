"""The two attentions of a block: joint self-attention over both streams, and dual-condition cross-attention.

q, k and v stay flat, (B, L, D); heads are split inside the injected `attend` and in RoPE only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..rope import rotate
from ..tasks import JOINT, Visibility
from .operations import Attend


class QKV(NamedTuple):
    q: Tensor
    k: Tensor
    v: Tensor


class Projections(nn.Module):
    """The layers that both attentions have; q and k are RMS-normed over the whole width."""

    def __init__(self, dim: int, heads: int, eps: float, operations: Any, **factory: Any) -> None:
        super().__init__()
        self.heads = heads
        self.q = operations.Linear(dim, dim, **factory)
        self.k = operations.Linear(dim, dim, **factory)
        self.v = operations.Linear(dim, dim, **factory)
        self.o = operations.Linear(dim, dim, **factory)
        self.norm_q = operations.RMSNorm(dim, eps=eps, elementwise_affine=True, **factory)
        self.norm_k = operations.RMSNorm(dim, eps=eps, elementwise_affine=True, **factory)


class SelfAttention(Projections):
    """One stream's half of the joint attention: q and k are rotated."""

    def qkv(self, x: Tensor, rope: tuple[Tensor, Tensor]) -> QKV:
        """x (B, L, D) -> rotated q, k and plain v, each (B, L, D)."""
        q = rotate(self.norm_q(self.q(x)), *rope, self.heads)
        k = rotate(self.norm_k(self.k(x)), *rope, self.heads)
        return QKV(q, k, self.v(x))


def joint_attention(
    video: QKV, audio: QKV, heads: int, attend: Attend, visibility: Visibility | Sequence[Visibility] = JOINT
) -> tuple[Tensor, Tensor]:
    """Attention over [video; audio] -> (B, Lv, D), (B, La, D).

    One call where every token may see every token. Where one direction is forbidden, two smaller calls instead of a dense mask.
    `visibility` may differ by batch row: rows that agree are computed together.
    """
    groups = rows_by_visibility([visibility] if isinstance(visibility, Visibility) else visibility)
    if len(groups) == 1:
        return _attend_group(video, audio, heads, attend, next(iter(groups)))
    out_video, out_audio = torch.empty_like(video.q), torch.empty_like(audio.q)
    for allowed, rows in groups.items():
        index = torch.tensor(rows, device=video.q.device)
        part_video, part_audio = (QKV(*(x[index] for x in stream)) for stream in (video, audio))
        group_video, group_audio = _attend_group(part_video, part_audio, heads, attend, allowed)
        out_video = out_video.index_copy(0, index, group_video)
        out_audio = out_audio.index_copy(0, index, group_audio)
    return out_video, out_audio


def rows_by_visibility(kinds: Sequence[Visibility]) -> dict[Visibility, list[int]]:
    """The rows of each kind, in the order in which `joint_attention` computes them."""
    groups: dict[Visibility, list[int]] = {}
    for row, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(row)
    return groups


def _attend_group(video: QKV, audio: QKV, heads: int, attend: Attend, allowed: Visibility) -> tuple[Tensor, Tensor]:
    if allowed == JOINT:
        q, k, v = (torch.cat(pair, dim=1) for pair in zip(video, audio, strict=True))
        return attend(q, k, v, heads).split([video.q.shape[1], audio.q.shape[1]], dim=1)
    return (
        _attend_stream(video, audio, heads, attend, sees_other=allowed.video_sees_audio, other_first=False),
        _attend_stream(audio, video, heads, attend, sees_other=allowed.audio_sees_video, other_first=True),
    )


def _attend_stream(own: QKV, other: QKV, heads: int, attend: Attend, *, sees_other: bool, other_first: bool) -> Tensor:
    k, v = own.k, own.v
    if sees_other:
        k, v = (torch.cat((b, a) if other_first else (a, b), dim=1) for a, b in ((own.k, other.k), (own.v, other.v)))
    return attend(own.q, k, v, heads)


class ConditionKV(NamedTuple):
    """Keys and values that do not change over a run: text (B, Lt, D), voice (B, Lr, D) or None where no row has a voice."""

    k: Tensor
    v: Tensor
    k_voice: Tensor | None
    v_voice: Tensor | None


class DualCrossAttention(Projections):
    """One query, two conditions: text and reference voice each have keys and values; the outputs are summed before `o`.

    Without `voice` there is the text alone: models whose voices stand in the text itself.
    """

    def __init__(self, dim: int, heads: int, eps: float, operations: Any, voice: bool = True, **factory: Any) -> None:
        super().__init__(dim, heads, eps, operations, **factory)
        if not voice:
            return
        self.k_voice = operations.Linear(dim, dim, **factory)
        self.v_voice = operations.Linear(dim, dim, **factory)
        self.norm_k_voice = operations.RMSNorm(dim, eps=eps, elementwise_affine=True, **factory)

    def prepare(self, text: Tensor, voice: Tensor | None) -> ConditionKV:
        """Embedded text (B, Lt, D) and voice (B, Lr, D) -> what `forward` reads at every step."""
        k, v = self.norm_k(self.k(text)), self.v(text)
        if voice is None:
            return ConditionKV(k, v, None, None)
        return ConditionKV(k, v, self.norm_k_voice(self.k_voice(voice)), self.v_voice(voice))

    def forward(self, x: Tensor, conditions: ConditionKV, gate: Tensor | None, attend: Attend) -> Tensor:
        """x (B, L, D) -> (B, L, D). `gate` (B, 1, 1) of exact 0 or 1 says which rows have a voice; a 0 row equals no voice at all."""
        q = self.norm_q(self.q(x))
        out = attend(q, conditions.k, conditions.v, self.heads)
        if conditions.k_voice is not None and conditions.v_voice is not None:
            heard = attend(q, conditions.k_voice, conditions.v_voice, self.heads)
            out = out + (heard if gate is None else gate.to(heard.dtype) * heard)
        return self.o(out)
