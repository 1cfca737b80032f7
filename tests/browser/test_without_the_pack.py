"""On a ComfyUI without the pack: the page names what has to be installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.host import ROOT
from tests.browser.run import SCREENSHOTS, run_browser
from tests.server.harness import ComfyServer

pytestmark = pytest.mark.usefixtures("browser")


@pytest.mark.slow
def test_the_missing_pack_is_named(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    (nothing / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n")
    try:
        server = ComfyServer(tmp_path / "base", pack=nothing).start()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    try:
        workflow = ROOT / "workflows" / "unitalking_nano_talking_portrait.json"
        text = run_browser("missing.mjs", server.url, {"workflow": str(workflow), "pictures": str(SCREENSHOTS)}).result["text"]
    finally:
        server.stop()
    assert "unitalking" in text.lower().split("missing node", 1)[1]
