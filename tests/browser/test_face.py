"""The pack's own front end in a real browser: the estimate while typing, the player, the help, going on with a saved clip."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.browser.run import SCREENSHOTS, run_browser
from tests.server.harness import ComfyServer
from unitalking_core.conditions.script import estimate

pytestmark = pytest.mark.usefixtures("browser")
TEMPLATE = "unitalking_nano_talking_portrait"
SPEECHES = (
    ("my sister loves the golden book", 2.0),
    ("my sister loves the golden book and my brother loves the silver river by the sea and we walk home", 2.0),
    ("das ist ein schöner Tag, und wir gehen nach Hause", 3.5),
    ("今天天气很好", 0.0),
)
ADDED = ["DecodeAV", "JointFlowSampler", "LoadVideo", "SaveTalkingVideo", "UniTalkingContinueClip", "UniTalkingPrompt"]
LOOKS = {
    "classic": {"Comfy.VueNodes.Enabled": False, "Comfy.ColorPalette": "dark", "Comfy.Locale": "en"},
    "vue": {"Comfy.VueNodes.Enabled": True, "Comfy.ColorPalette": "light", "Comfy.Locale": "ja"},
}


@pytest.fixture(params=LOOKS)
def visit(comfy: ComfyServer, request: pytest.FixtureRequest) -> Any:
    """The scenario in one rendering, one palette and one language; the settings are the server's and go back afterwards."""
    pictures = SCREENSHOTS / request.param
    pictures.mkdir(parents=True, exist_ok=True)
    cases = [{"speech": speech, "seconds": seconds} for speech, seconds in SPEECHES]
    order = {"name": TEMPLATE, "pack": "ComfyUI-UniTalking", "cases": cases, "pictures": str(pictures)}
    try:
        yield run_browser("face.mjs", comfy.url, order, LOOKS[request.param])
    finally:
        for name, value in LOOKS["classic"].items():
            comfy.post(f"/settings/{name}", value)


def test_what_the_pack_adds_to_the_front_end(visit: Any) -> None:
    result = visit.result
    for (speech, seconds), shown in zip(SPEECHES, result["estimates"], strict=True):
        need = estimate(speech)
        numbers = re.findall(r"\d+\.\d", shown["text"])
        assert numbers == [f"{need.seconds:.1f}", *([f"{seconds:.1f}"] if seconds else [])], shown
        assert re.search(rf"\b{need.counted.split()[0]}\b", shown["text"])
        assert shown["warns"] is (bool(seconds) and need.fit(seconds) == "short")
    assert result["ran"]["status"] == "success", result["ran"]
    assert result["ran"]["steps"] > 1, "no progress was shown"

    assert result["previews"] == 1, "the clip is shown once"
    assert result["drawn"]
    assert result["words"]
    assert result["stepped"] == pytest.approx(2 / 24, abs=0.01)
    assert result["scrubbed"] == pytest.approx(49 / 48, abs=0.05)

    assert len(result["help"]["text"]) > 100
    assert min(result["help"]["pictures"]) > 100

    assert sorted(node["type"] for node in result["added"]) == ADDED
    unlinked = [
        (node["type"], slot["name"]) for node in result["added"] for slot in node["inputs"] if slot["link"] is None and "widget" not in slot
    ]
    assert not unlinked
    assert visit.errors == []
