"""One line on a node about what it did."""

from __future__ import annotations

import logging
from typing import Any

from server import PromptServer

log = logging.getLogger("unitalking")


def say(node: Any, text: str) -> None:
    """Show `text` on the running node (its schema must ask for the hidden unique_id) and in the log."""
    log.info("%s: %s", node.__name__, text)
    PromptServer.instance.send_progress_text(text, node.hidden.unique_id)
