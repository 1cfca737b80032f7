"""What a batch has of its prompts: ids, where the text encoder learns with the model, or the rows that a public one made once.

A row without text has the empty prompt: no ids for nano's encoder, the end mark's row for UMT5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..conditions.text import NanoTextEncoder, TextTooLongError
from .latents import Entry, Latents, LatentsError


class Texts(Protocol):
    def batch(self, entries: Sequence[Entry | None]) -> tuple[Tensor, Tensor]:
        """The prompts of clips, None for no text -> padded ids (B, Lt) or rows (B, Lt, text_dim), and lengths (B,)."""
        ...


def open_texts(encoder: NanoTextEncoder | None, store: Latents, entries: Sequence[Entry]) -> Texts:
    """Of the clips that are trained on. `encoder`: the one that learns, None for a public one, whose rows are in the store.

    Raises TextTooLongError for a text that the encoder does not read, LatentsError where the store lacks encoded prompts.
    """
    return Ids(encoder, entries) if encoder is not None else Rows(store, entries)


class Ids:
    def __init__(self, encoder: NanoTextEncoder, entries: Sequence[Entry]) -> None:
        self.encoder = encoder
        self.ids: dict[str, list[int]] = {}
        for entry in entries:
            if entry.text not in self.ids:
                try:
                    self.ids[entry.text] = encoder.tokenize(entry.text)
                except TextTooLongError as error:
                    raise TextTooLongError(f"clip {entry.id}: {error}") from error

    def batch(self, entries: Sequence[Entry | None]) -> tuple[Tensor, Tensor]:
        """Ids (B, tokens)."""
        return self.encoder.batch([[] if entry is None else self.ids[entry.text] for entry in entries])


class Rows:
    def __init__(self, store: Latents, entries: Sequence[Entry]) -> None:
        missing = [entry.id for entry in entries if entry.prompt is None]
        if missing:
            raise LatentsError(
                f"{len(missing)} of {len(entries)} clips come without encoded prompts, the first is {missing[0]}; the model's text encoder "
                "is not trained: make the latents anew with 'text_encoder' in the configuration"
            )
        self.store, self.empty = store, store.prompt(None)

    def batch(self, entries: Sequence[Entry | None]) -> tuple[Tensor, Tensor]:
        """Rows (B, Lt, text_dim) up to the longest."""
        rows = [self.empty if entry is None else self.store.prompt(entry) for entry in entries]
        return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])
