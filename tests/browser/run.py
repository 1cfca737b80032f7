"""Running a scenario in a real Chromium from a test: the result comes back as JSON, with what the page complained about.

A scenario is a .mjs file beside the test, `export default async (page, args) => result`; `page.mjs` has what people do in ComfyUI.
A picture of the page at the end is left in `.host/screenshots`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts import test_tools
from scripts.host import HOME

HERE = Path(__file__).parent
SCREENSHOTS = HOME / "screenshots"
SECONDS = 420 * float(os.environ.get("PATIENCE", "1"))

# What ComfyUI's front end says about itself on a fresh installation without a network.
HOST_NOISE = re.compile(
    r"404.*(user\.css|userdata|subgraphs|templates\.json)"
    r"|(ERR_NAME_NOT_RESOLVED|ERR_INTERNET_DISCONNECTED|ERR_CONNECTION|ERR_TUNNEL|ERR_PROXY).*\(https?://(?!127\.0\.0\.1)"
    r"|graph accessed before initialization"
    r"|(huggingface\.co|civitai\.com).*missingModelDownload"  # the host's default graph asks for the size of a model that is not there
)


@dataclass(frozen=True)
class Visit:
    """What a scenario returned, and the console errors of the page that are not the host's own."""

    result: Any
    errors: list[str]


def run_browser(
    script: str, url: str, args: dict[str, Any] | None = None, settings: dict[str, Any] | None = None, microphone: Path | None = None
) -> Visit:
    """Open the front end at `url` with the given user settings and run the scenario file `script` in it.

    What is said into the browser's microphone is the wav file `microphone`, over and over.

    Raises AssertionError with the scenario's own failure and the page's errors when it did not come to its end.
    """
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    picture = SCREENSHOTS / f"{Path(script).stem}.png"
    order = {"url": url, "args": args or {}, "settings": settings or {}, "screenshot": str(picture)}
    order["microphone"] = str(microphone) if microphone else None
    env = {**os.environ, "CHROMIUM": test_tools.chromium() or "", "PLAYWRIGHT_MODULES": str(test_tools.MODULES)}
    command = [test_tools.node() or "node", str(HERE / "driver.mjs"), str(HERE / script)]
    ran = subprocess.run(command, input=json.dumps(order), env=env, capture_output=True, text=True, timeout=SECONDS)
    assert ran.returncode == 0, f"the browser could not be driven:\n{ran.stderr}"
    answer = json.loads(ran.stdout.splitlines()[-1])
    errors = [error for error in answer["errors"] if not HOST_NOISE.search(error)]
    assert "failure" not in answer, f"{script} failed (picture: {picture}):\n{answer['failure']}\nconsole: {errors}"
    return Visit(answer["result"], errors)
