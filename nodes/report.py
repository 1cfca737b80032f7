"""What a node did, in words: on the node while it runs, in the log, and in its outputs, where clients and the front end find it."""

from __future__ import annotations

import logging
from typing import Any

from server import PromptServer

log = logging.getLogger("unitalking")


def say(node: Any, text: str, **shown: Any) -> dict[str, Any]:
    """Show `text` on the running node (its schema must ask for the hidden unique_id) and in the log.

    Returns the node's `ui`: the text, and what else is shown (previews).
    """
    log.info("%s: %s", node.__name__, text)
    PromptServer.instance.send_progress_text(text, node.hidden.unique_id)
    return {"text": (text,), **shown}
