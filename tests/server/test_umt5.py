"""UMT5 outside ComfyUI against the host's own: the same file, prompt for prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conditions import tiny_umt5
from tests.server.harness import ComfyServer

pytest.importorskip("ftfy", reason="ftfy is not installed (extra 'full')")

TEXTS = ("the quick brown fox jumps over the lazy dog", "", "seven bright birds sing & dance", "  two   spaces ", "unknown: \u00e9\u4e16")


@torch.no_grad()
def test_the_hosts_umt5_gives_the_same_rows(comfy: ComfyServer, tmp_path: Path) -> None:
    """Ids, rows up to the end mark and the zeros after it; two implementations and a longer padding, so not to the last bit."""
    encoder = tiny_umt5.make()
    state = {f"encoder.{key}": value for key, value in encoder.encoder.state_dict().items()}
    state["shared.weight"] = state.pop("encoder.embed_tokens.weight")
    state["spiece_model"] = torch.tensor(list(tiny_umt5.tokenizer()), dtype=torch.uint8)
    save_file(state, tmp_path / "umt5.safetensors")
    inputs = {"path": str(tmp_path / "umt5.safetensors"), "sizes": json.dumps(tiny_umt5.SIZES), "texts": json.dumps(TEXTS), "name": "umt5"}
    run = comfy.queue({"1": {"class_type": "ProbeUMT5", "inputs": inputs}})
    assert run.ok, run.explain()
    host, ours = load_file(comfy.base / "output" / "umt5.safetensors"), encoder.encode(TEXTS)
    for i, text in enumerate(TEXTS):
        ids, rows = encoder.tokenize(text), host[f"rows.{i}"]
        assert host[f"ids.{i}"].tolist() == ids + [0] * (512 - len(ids)), text
        assert rows.shape == (512, 32)
        assert not rows[len(ids) :].any()
        assert not ours[i, len(ids) :].any()
        torch.testing.assert_close(ours[i, : len(ids)], rows[: len(ids)], atol=2e-5, rtol=1e-4)
        assert rows[: len(ids)].abs().mean() > 0.1, "there is something to compare"
