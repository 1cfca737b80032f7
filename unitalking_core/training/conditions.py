"""Conditions of a training step: the keys and values of a block are made when the block asks for them.

Sampling prepares all blocks at once and keeps the result over its steps (`UniTalkingTransformer.prepare`); training uses it once. Made
inside the block, they need the weights of no other block at the time (sharding) and are not kept for the way back (checkpointing).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from torch import Tensor

from ..transformer import UniTalkingTransformer
from ..transformer.attention import ConditionKV
from ..transformer.model import Conditions
from ..transformer.stream import Stream


class BlockByBlock(Sequence[ConditionKV]):
    """Item i is made anew whenever it is asked for, from embedded text (B, Lt, D) and voice (B, Lr, D)."""

    def __init__(self, stream: Stream, text: Tensor, voice: Tensor) -> None:
        self.blocks = stream.blocks
        self.text, self.voice = stream.text_embedding(text), stream.voice_embedding(voice.transpose(1, 2))

    def __len__(self) -> int:
        return len(self.blocks)

    @overload
    def __getitem__(self, i: int) -> ConditionKV: ...
    @overload
    def __getitem__(self, i: slice) -> list[ConditionKV]: ...
    def __getitem__(self, i: int | slice) -> ConditionKV | list[ConditionKV]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        return self.blocks[i].cross_attn.prepare(self.text, self.voice)


def conditions_for_training(transformer: UniTalkingTransformer, text: Tensor, voice: Tensor, gate: Tensor, *, video: bool) -> Conditions:
    """As `UniTalkingTransformer.prepare`: text (B, Lt, text_dim), voice (B, Ca, Lr), gate (B,); `video` False leaves out that stream.

    The voice's layers take part even where no row has a voice: processes that share a batch must all use the same parameters.
    """
    for_video: Sequence[ConditionKV] = BlockByBlock(transformer, text, voice) if video else []
    return Conditions(for_video, BlockByBlock(transformer.audio, text, voice), gate.reshape(-1, 1, 1))
