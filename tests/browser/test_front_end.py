"""The real front end in a real browser, with core nodes alone: proves the driver that the pack's own browser tests stand on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.run import run_browser
from tests.server.harness import ComfyServer

pytestmark = pytest.mark.usefixtures("browser")


def core_video() -> dict[str, Any]:
    """A one-second clip of one colour, in UI format."""
    names = [
        ("EmptyImage", [64, 64, 24, 255], [], [("IMAGE", "IMAGE", [1])]),
        ("EmptyAudio", [1.0, 44100, 2], [], [("AUDIO", "AUDIO", [2])]),
        ("CreateVideo", [24.0], [("images", "IMAGE", 1), ("audio", "AUDIO", 2)], [("VIDEO", "VIDEO", [3])]),
        ("SaveVideo", ["browser", "mp4", "h264"], [("video", "VIDEO", 3)], []),
    ]
    nodes = [
        {
            "id": number,
            "type": kind,
            "pos": [300 * number, 100],
            "size": [250, 150],
            "flags": {},
            "order": number,
            "mode": 0,
            "inputs": [{"name": name, "type": what, "link": link} for name, what, link in inputs],
            "outputs": [{"name": name, "type": what, "links": links} for name, what, links in outputs],
            "properties": {},
            "widgets_values": values,
        }
        for number, (kind, values, inputs, outputs) in enumerate(names, start=1)
    ]
    links = [[1, 1, 0, 3, 0, "IMAGE"], [2, 2, 0, 3, 1, "AUDIO"], [3, 3, 0, 4, 0, "VIDEO"]]
    return {"last_node_id": 4, "last_link_id": 3, "nodes": nodes, "links": links, "groups": [], "config": {}, "extra": {}, "version": 0.4}


def test_front_end_opens_without_complaints(comfy: ComfyServer) -> None:
    visit = run_browser("opens.mjs", comfy.url)
    assert "ComfyUI" in visit.result["title"]
    assert {"KSampler", "LoadAudio"} <= set(visit.result["types"])
    assert visit.errors == []


def test_clip_is_made_played_and_dropped_back(comfy: ComfyServer) -> None:
    visit = run_browser("round_trip.mjs", comfy.url, {"workflow": core_video(), "output": str(comfy.base / "output")})
    assert visit.result["ran"]["status"] == "success"
    preview = visit.result["preview"]
    assert (preview["width"], preview["height"]) == (64, 64)
    assert preview["seconds"] == pytest.approx(1.0, abs=0.1)
    assert preview["audioBytes"] > 0
    assert visit.result["after"] == visit.result["before"]
    assert visit.errors == []


def test_template_browser_puts_a_template_on_the_canvas(comfy: ComfyServer) -> None:
    visit = run_browser("template.mjs", comfy.url, {"name": "default", "pack": None})
    assert "KSampler" in visit.result["types"]
