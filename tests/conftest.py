"""What all tests share: the markers, and one real ComfyUI server for the session.

Tests that need something that is not here are skipped with the reason; in CI (CI=true) they fail instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from scripts import test_tools
from tests.server.harness import ComfyServer, link_probes

MARKERS = (
    "server: needs a real ComfyUI server",
    "browser: needs a real browser (and a server)",
    "slow: takes more than some ten seconds; `-m 'not slow'` leaves it out",
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the server or the browser; such tests go last, so that the quick ones speak first."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "comfy" in fixtures:
            item.add_marker(pytest.mark.server)
        if "browser" in fixtures:
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: (item.get_closest_marker("browser") is not None, item.get_closest_marker("server") is not None))


def absent(reason: str) -> NoReturn:
    """Skip for `reason`; fail in CI, where nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A running ComfyUI with this pack in it, on a base directory of its own."""
    try:
        server = ComfyServer(tmp_path_factory.mktemp("comfy"))
    except FileNotFoundError as error:
        absent(str(error))
    link_probes(server)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def browser() -> None:
    """Asks for Chromium, Node and playwright-core; the test then calls `tests.browser.run_browser`."""
    missing = test_tools.missing()
    if missing:
        absent(f"missing: {', '.join(missing)}; run `make test`")
