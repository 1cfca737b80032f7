"""The shipped template in the real front end: opens from the template browser, runs unedited, plays, and comes back from its own clip."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.host import ROOT
from tests.browser.run import run_browser
from tests.server.harness import ComfyServer

pytestmark = pytest.mark.usefixtures("browser")
TEMPLATE = "unitalking_nano_talking_portrait"
TEMPLATES = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
PREVIEW = "video-preview"
"""No input of any node: the front end puts it on core's LoadVideo once the file's preview has loaded, and sends it along from then on."""


@pytest.mark.parametrize("vue_nodes", [False, True], ids=["classic", "vue"])
def test_open_run_watch_and_drop_back(comfy: ComfyServer, vue_nodes: bool) -> None:
    order = {"name": TEMPLATE, "pack": "ComfyUI-UniTalking", "output": str(comfy.base / "output")}
    visit = run_browser("main_job.mjs", comfy.url, order, {"Comfy.VueNodes.Enabled": vue_nodes})
    assert visit.result["ran"]["status"] == "success", visit.result["ran"]
    preview = visit.result["preview"]
    assert (preview["width"], preview["height"]) == (128, 128)
    assert preview["seconds"] == pytest.approx(49 / 24, abs=0.1)
    assert preview["audioBytes"] > 0
    assert visit.result["after"] == visit.result["before"], "the dropped clip must restore the graph it was made with"
    assert visit.errors == []


@pytest.fixture(scope="module")
def sent(comfy: ComfyServer, browser: None) -> dict[str, Any]:
    """What the front end would send for every template, all of which its template browser offers."""
    return run_browser("as_prompt.mjs", comfy.url, {"names": TEMPLATES, "pack": "ComfyUI-UniTalking"}).result


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_api_twin_is_the_template(sent: dict[str, Any], name: str) -> None:
    """What the front end would send for the template is the file in workflows/api."""
    twin = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text())
    for node in sent[name].values():
        node["inputs"].pop(PREVIEW, None)
    keys = ("class_type", "inputs")
    assert {i: {k: node[k] for k in keys} for i, node in sent[name].items()} == {i: {k: node[k] for k in keys} for i, node in twin.items()}
