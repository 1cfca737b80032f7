"""The nano text encoder: what becomes of a prompt, and what must not matter."""

from __future__ import annotations

import pytest
import torch

from unitalking_core.conditions.text import END_ID, START_ID, UNKNOWN, NanoTextEncoder, TextTooLongError, build_text_encoder
from unitalking_core.config import ConfigError, TextConfig


@pytest.fixture
def encoder() -> NanoTextEncoder:
    torch.manual_seed(0)
    return NanoTextEncoder({"tokens": 40, "text_dim": 16, "hidden": 32}).eval().requires_grad_(False)


def test_marks_are_one_id_and_bare_text_is_speech(encoder: NanoTextEncoder) -> None:
    ids = encoder.tokenize("<S>hi<E> a man")
    assert ids[0] == START_ID
    assert ids[3] == END_ID
    assert len(ids) == 4 + len(" a man")
    assert encoder.tokenize("Hi") == encoder.tokenize("<S>hi<E>")


def test_characters_are_folded(encoder: NanoTextEncoder) -> None:
    assert encoder.tokenize("Éléonore’s “ﬁne”") == encoder.tokenize('eleonore\'s "fine"')
    assert UNKNOWN in encoder.tokenize("漢")


def test_rows_past_the_end_are_zero_and_the_empty_text_is_all_zero(encoder: NanoTextEncoder) -> None:
    rows = encoder.encode(["<S>hello<E> a man", ""])
    length = len(encoder.tokenize("<S>hello<E> a man"))
    assert rows.shape == (2, 40, 16)
    assert (rows[0, :length].abs().sum(-1) > 0).all()
    assert not rows[0, length:].any()
    assert not rows[1].any()


def test_a_row_does_not_depend_on_its_neighbours(encoder: NanoTextEncoder) -> None:
    alone = encoder.encode(["<S>hello<E>"])
    together = encoder.encode(["<S>hello<E>", "<S>a much longer prompt<E> a man", ""])
    assert torch.allclose(alone[0], together[0], atol=1e-6)


def test_order_matters(encoder: NanoTextEncoder) -> None:
    one, two = encoder.encode(["<S>no tip<E>", "<S>pit no<E>"])
    assert not torch.allclose(one.sum(0), two.sum(0), atol=1e-3)


def test_too_long_a_text_names_the_limit(encoder: NanoTextEncoder) -> None:
    with pytest.raises(TextTooLongError, match=r"the text has 52 characters .* reads at most 40"):
        encoder.encode(["x" * 50])


def test_unknown_encoders_are_named() -> None:
    with pytest.raises(ConfigError, match="unknown text encoder 'umt9'; this version can build nano-text"):
        build_text_encoder(TextConfig(encoder="umt9", tokens=8), 16)
