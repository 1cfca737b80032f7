"""UMT5 through transformers: every published key in both layouts, Wan's cleaning and padding, and what is refused."""

from __future__ import annotations

import pytest
import torch
from reference import manifest

from tests.conditions import tiny_umt5
from unitalking_core.checkpoint import check_fit
from unitalking_core.conditions.text import build_text_encoder
from unitalking_core.conditions.umt5 import UMT5TextEncoder, own_names
from unitalking_core.config import ConfigError, TextConfig
from unitalking_core.presets import ten_b

pytest.importorskip("ftfy", reason="ftfy is not installed (extra 'full')")


@pytest.fixture(scope="module")
def encoder() -> UMT5TextEncoder:
    return tiny_umt5.make()


@pytest.mark.parametrize("layout", ["host_hf_layout", "wan_native"])
def test_every_key_of_the_published_encoder(layout: str) -> None:
    with torch.device("meta"):
        wanted = build_text_encoder(ten_b().text, 4096).state_dict()
    check_fit(wanted, own_names(manifest(f"umt5_xxl_encoder.{layout}")), layout)


def test_both_layouts_are_one_encoder(encoder: UMT5TextEncoder) -> None:
    state = encoder.encoder.state_dict()
    for named in (tiny_umt5.in_wans_names(state), {f"encoder.{key}": value for key, value in state.items()}):
        assert set(named) != set(state)
        renamed = own_names(named)
        assert all(torch.equal(renamed[f"encoder.{key}"], value) for key, value in state.items())


def test_rows_are_zero_past_the_end_mark_and_padding_changes_nothing(encoder: UMT5TextEncoder) -> None:
    texts = ["the quick fox", "", "seven bright birds sing in my garden"]
    rows = encoder.encode(texts)
    assert rows.shape == (3, 24, 32)
    for text, row in zip(texts, rows, strict=True):
        ids = encoder.tokenize(text)
        assert ids[-1] == 1
        alone = encoder.encoder(input_ids=torch.tensor([ids])).last_hidden_state[0]
        torch.testing.assert_close(row[: len(ids)], alone, atol=1e-5, rtol=1e-4)
        assert not row[len(ids) :].any()
        assert row[: len(ids)].any(1).all()


def test_prompts_are_cleaned_as_wan_does(encoder: UMT5TextEncoder) -> None:
    plain = encoder.tokenize("birds sing & dance")
    assert encoder.tokenize("  birds\n sing &amp;amp; \t dance ") == plain
    assert encoder.tokenize("birds sing \uff06 dance") == plain, "ftfy writes a wide sign as the plain one"


def test_long_prompts_are_cut_and_keep_their_end_mark(encoder: UMT5TextEncoder) -> None:
    ids = encoder.tokenize("the lazy dog jumps over the garden " * 20)
    assert len(ids) == 24
    assert ids[-1] == 1


def test_what_is_missing_is_named() -> None:
    bare = UMT5TextEncoder(tiny_umt5.OPTIONS)
    with pytest.raises(ConfigError, match=r"no tokenizer: put spiece.model"):
        bare.tokenize("hello")
    with pytest.raises(ConfigError, match="no SentencePiece model"):
        bare.set_tokenizer(b"nothing of the kind")
    with pytest.raises(ConfigError, match="UMT5 makes rows of 32, the model reads rows of 64"):
        UMT5TextEncoder({**tiny_umt5.OPTIONS, "text_dim": 64})
    with pytest.raises(ConfigError, match="unknown text encoder 'shorthand'; this version can build nano-text, umt5-xxl"):
        build_text_encoder(TextConfig("shorthand", 8), 16)
