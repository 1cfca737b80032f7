"""Putting a person's own sentence, portrait, voice and seed into a workflow in API format, by what the nodes are."""

from __future__ import annotations

import json
from pathlib import Path

from .comfy_client import Prompt
from .console import Problem


def load(path: Path) -> Prompt:
    """Read a workflow in API format; raises Problem when the file is missing or is something else."""
    if not path.is_file():
        raise Problem(f"there is no workflow {path}.")
    try:
        prompt = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Problem(f"{path} is not JSON: {error}") from None
    if not isinstance(prompt, dict) or not all(isinstance(node, dict) and "class_type" in node for node in prompt.values()):
        raise Problem(f"{path} is not a workflow in API format (in ComfyUI: File > Export (API)).")
    return prompt


def nodes_of(prompt: Prompt, class_type: str) -> list[str]:
    """The ids of all nodes of that class."""
    return [node for node, spec in prompt.items() if spec["class_type"] == class_type]


def set_file(prompt: Prompt, class_type: str, key: str, name: str) -> None:
    """Let every `class_type` node read the uploaded file `name`."""
    for node in nodes_of(prompt, class_type):
        prompt[node]["inputs"][key] = name


def set_seed(prompt: Prompt, seed: int) -> None:
    """Set every seed in the workflow."""
    for spec in prompt.values():
        for key in ("seed", "noise_seed"):
            if isinstance(spec["inputs"].get(key), int):
                spec["inputs"][key] = seed


def set_text(prompt: Prompt, text: str, keep_description: bool) -> None:
    """Let the portrait say `text`: the positive prompt is replaced.

    With `keep_description` a plain sentence (no <S> tags) takes the place of the spoken words only, and the description of face and voice
    that the workflow brings stays. Raises Problem when the workflow has no positive prompt.
    """
    inputs = prompt[_positive_text(prompt)]["inputs"]
    before, start, rest = inputs["text"].partition("<S>")
    end = rest.find("<E>")
    if keep_description and "<S>" not in text and start and end >= 0:
        text = f"{before}<S>{text}{rest[end:]}"
    inputs["text"] = text


def _positive_text(prompt: Prompt) -> str:
    """The node whose `text` reaches somebody's `positive` input; the only text node where nobody has one."""
    texts = [node for node, spec in prompt.items() if isinstance(spec["inputs"].get("text"), str)]
    waiting = [spec["inputs"]["positive"] for spec in prompt.values() if isinstance(spec["inputs"].get("positive"), list)]
    seen: set[str] = set()
    while waiting:
        node = str(waiting.pop(0)[0])
        if node in texts:
            return node
        if node not in seen:
            seen.add(node)
            inputs = prompt[node]["inputs"]
            links = {key: value for key, value in inputs.items() if isinstance(value, list) and len(value) == 2}
            named = [value for key, value in links.items() if key in {"positive", "conditioning"}]
            waiting += named or list(links.values())
    if len(texts) == 1:
        return texts[0]
    raise Problem("TEXT was given, but this workflow has no text that reaches a `positive` input.")
