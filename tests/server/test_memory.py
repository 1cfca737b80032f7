"""The memory that the model asks the host for, against what a step really takes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.server import graphs, nava
from tests.server.harness import ComfyServer, link_probes
from tests.server.scaled import write_scaled

MODELS = ("eighth", "nava_eighth")
SHAPES = {"wide": (320, 192, 1.0), "tall and long": (192, 320, 4.0), "large": (512, 512, 1.6)}
"""Pixels and seconds: some 450, 1,500 and 2,600 tokens."""


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A server whose attention never holds a table of scores, as on a GPU."""
    server = ComfyServer(tmp_path_factory.mktemp("fused"))
    link_probes(server)
    graphs.furnish(server)
    write_scaled(server.base / "models" / "unitalking" / "eighth.safetensors")
    nava.write_scaled(server.base / "models" / "unitalking" / "nava_eighth.safetensors")
    server.start(["--cpu", "--use-pytorch-cross-attention"])
    try:
        for model in MODELS:
            job(server, 64, 64, 0.3, model)  # what libraries allocate once and keep
        yield server
    finally:
        server.stop()


def job(server: ComfyServer, width: int, height: int, seconds: float, model: str = "eighth") -> list[dict[str, float]]:
    """Two steps of a clip: what each was estimated to take, and took."""
    name = f"memory {model} {width}x{height}"
    prompt = graphs.sampled("unused", steps=2)
    prompt["1"]["inputs"]["checkpoint"] = f"{model}.safetensors"
    prompt["7"]["inputs"] |= {"width": width, "height": height, "seconds": seconds}
    prompt["20"] = {"class_type": "ProbeMemory", "inputs": {"model": ["1", 0], "name": name}}
    prompt["8"]["inputs"]["model"] = ["20", 0]
    if model == "nava_eighth":  # its voices are rows of the text, and take no room
        del prompt["3"], prompt["6"], prompt["8"]["inputs"]["voice"]
    run = server.queue(prompt)
    assert run.ok, run.explain()
    return json.loads((server.base / "output" / f"{name}.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_estimate_is_what_a_step_takes(fused: ComfyServer, shape: str, model: str) -> None:
    """Both the first step, which makes text and voice ready, and a later one."""
    first, later = job(fused, *SHAPES[shape], model)
    for call in (first, later):
        assert call["rows"] == 2
        assert call["estimate"] == pytest.approx(call["measured"], rel=0.15), call
