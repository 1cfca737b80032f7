"""The server of the node tests: with the test-only probe nodes, a small random model and inputs of odd kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server import graphs
from tests.server.harness import ComfyServer


@pytest.fixture(scope="session")
def studio(comfy: ComfyServer) -> ComfyServer:
    """The session's server, furnished."""
    graphs.furnish(comfy)
    return comfy


@pytest.fixture
def loras(comfy: ComfyServer) -> Path:
    folder = comfy.base / "models" / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
