"""Voices as speaker vectors, for models that read them in the text itself (NAVA): each stands at the `<S>` of what it says.

A span `<S>...<E>` has a place in the encoded text: with UMT5 that of a marker put behind each `<S>`, with nano's encoder that of `<S>`.
Notation: S width of a speaker vector, N voices, Lt rows of text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..config import ModelConfig
from .text import START
from .voice import VoiceError

MARKER = "<extra_id_2>"
"""What NAVA puts behind each `<S>` of a prompt: a token of UMT5 that no text has (its data/t2v.py)."""


def place_voices(voices: Tensor, places: Sequence[int], rows: int) -> tuple[Tensor, Tensor]:
    """Speaker vectors (1, S, N) at the places of a prompt's spans -> voice (1, S, rows) and gate (1, rows), as `prepare` takes them.

    The i-th voice speaks the i-th span; one voice speaks all of them; voices without a span are not heard (NAVA, modules/model_mm.py).
    Raises VoiceError for several voices and yet more spans, and where there is no span at all.
    """
    count = voices.shape[2]
    if not places:
        raise VoiceError(f"the prompt says nothing for the voice to speak: mark it as {START}the words<E>")
    if 1 < count < len(places):
        raise VoiceError(
            f"the prompt has {len(places)} spans {START}...<E> and {count} voices: give one voice for all, or one for each span"
        )
    voice, gate = voices.new_zeros(1, voices.shape[1], rows), voices.new_zeros(1, rows)
    for i, place in enumerate(places):
        if place < rows:
            voice[0, :, place], gate[0, place] = voices[0, :, i if count > 1 else 0], 1.0
    return voice, gate


def marked(text: str, encode: Callable[[str], list[int]]) -> list[int]:
    """Ids of a prompt with MARKER behind each `<S>`, which `encode` alone, a tokenizer of plain text, does not know inside a text.

    Its id is the first one of the marker encoded by itself. What stands before and after a marker is encoded on its own.
    """
    parts = text.replace(MARKER, "").split(START)
    ids = encode(parts[0] + START) if len(parts) > 1 else encode(parts[0])
    for i, part in enumerate(parts[1:], start=2):
        ids = [*ids, marker_id(encode), *(encode(part + START * (i < len(parts))))]
    return ids


def marker_id(encode: Callable[[str], list[int]]) -> int:
    return encode(MARKER)[0]


def require_kind(voice: Tensor, config: ModelConfig) -> None:
    """Raises VoiceError unless a voice (1, channels, N) is of the kind that the model takes, and not more speakers than it knows."""
    c = config.transformer
    wanted = c.speaker_dim if c.speakers else config.audio.channels
    if voice.shape[1] != wanted:
        kinds = {True: f"speaker vectors of {c.speaker_dim} values, as NAVA's", False: f"sound in {config.audio.channels} channels"}
        found = (
            "a speaker vector (of a NAVA checkpoint)"
            if not c.speakers and voice.shape[1] == c.speaker_dim
            else (f"sound in {voice.shape[1]} channels (of a UniTalking checkpoint)")
        )
        raise VoiceError(
            f"this voice is {found}, but the checkpoint '{config.name}' takes {kinds[bool(c.speakers)]}: encode it with Encode Reference "
            "Voice and the audio VAE of the same Load UniTalking Model"
        )
    if c.speakers and voice.shape[2] > c.speakers:
        raise VoiceError(f"{voice.shape[2]} voices are given; '{config.name}' tells at most {c.speakers} speakers apart")


def together(earlier: Tensor, voice: Tensor) -> Tensor:
    """Speaker vectors (1, S, N) and one more (1, S, 1) -> (1, S, N + 1)."""
    return torch.cat([earlier, voice.to(earlier)], dim=2)
