"""What the model is conditioned on: text, the reference voice, the portrait. Each file prepares one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class TextEncoder(Protocol):
    """What every text encoder, a module, offers: prompts -> (len(texts), tokens, text_dim), zeros past each prompt's end."""

    def encode(self, texts: Sequence[str]) -> Tensor: ...
