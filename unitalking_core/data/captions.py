"""The caption of a synthetic clip, in the prompt format of nano: `<S>the words<E> a portrait, a voice, a room`."""

from __future__ import annotations

LONGEST = 192
"""Characters that nano reads."""


def caption(words: str, portrait: str, trait: str, room: str) -> str:
    """A portrait for which the prompt has no room is told by its first two words, "a woman"."""
    whole, brief = (f"<S>{words}<E> {shown}, {trait}, {room}" for shown in (portrait, " ".join(portrait.split()[:2])))
    return whole if len(whole) <= LONGEST else brief
