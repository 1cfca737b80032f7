"""A voice recorded into a microphone in the browser becomes the voice of a clip."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from scripts.host import ROOT
from tests.browser.run import SCREENSHOTS, run_browser
from tests.server.harness import ComfyServer

pytestmark = pytest.mark.usefixtures("browser")
SPEAKER = ROOT / "models" / "nano" / "examples" / "voice_woman.wav"


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A server whose pages may read what was recorded in them."""
    try:
        server = ComfyServer(tmp_path_factory.mktemp("listener"))
    except FileNotFoundError as error:
        pytest.skip(str(error))
    server.start(api_nodes=True)
    yield server
    server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("vue_nodes", [False, True], ids=["classic", "vue"])
def test_record_run_and_watch(listener: ComfyServer, vue_nodes: bool) -> None:
    pictures = SCREENSHOTS / ("vue" if vue_nodes else "classic")
    pictures.mkdir(parents=True, exist_ok=True)
    order = {"name": "unitalking_nano_record_a_voice", "pack": "ComfyUI-UniTalking", "vue": vue_nodes, "pictures": str(pictures)}
    settings = {"Comfy.VueNodes.Enabled": vue_nodes, "Comfy.Locale": "en"}
    visit = run_browser("record.mjs", listener.url, order, settings, microphone=SPEAKER)
    result = visit.result
    assert "3 to 5 s" in result["hint"]
    assert result["seconds"] > 2
    assert result["ran"]["status"] == "success", result["ran"]
    kept = re.search(r"([\d.]+) s kept of ([\d.]+) s", result["told"])
    assert kept, result["told"]
    assert float(kept[1]) > 1.5, "no speech was found in the recording"
    assert float(kept[2]) == pytest.approx(result["seconds"], abs=0.1)
    assert (result["preview"]["width"], result["preview"]["height"]) == (128, 128)
    assert result["preview"]["audioBytes"] > 0
    assert visit.errors == []
