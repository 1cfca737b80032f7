"""`python -m scripts.templates`: gives every template what all of them carry, and an orderly layout.

A template's nodes name the pack they come from (`cnr_id`, `ver`), so that a ComfyUI without it can name it; its id is made from its name,
so that it stays. Nodes of a group stand under each other, with room for the lines that some say when they have run.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

from . import console, host
from .console import say

WORKFLOWS = host.ROOT / "workflows"
CORE = "comfy-core"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "unitalking/workflows")
OWN = re.compile(r"UniTalking|EncodeReferenceVoice|EncodePortrait|JointFlowSampler|DecodeAV|SaveTalkingVideo")
SPEAKERS = ("EncodePortrait", "UniTalkingPrompt", "UniTalkingEmptyClip", "UniTalkingEmptySpeech", "UniTalkingSaveVoice")
SPEAKERS += ("UniTalkingGiveSpeech", "UniTalkingGiveVideo", "UniTalkingContinueClip", "UniTalkingAttentionMaps", "UniTalkingTwoFaces")
SPEAKERS += ("LoadUniTalkingModel",)
TELLERS = ("EncodeReferenceVoice", "UniTalkingLoadVoice", "UniTalkingLongClip", "UniTalkingDialogue")
SAYS = {**dict.fromkeys(SPEAKERS, 60), **dict.fromkeys(TELLERS, 120)}
"""How much taller a node grows when it has run: by its words, and by its own player."""
TOP, GAP, HEAD = 80, 60, 30
FULL_SIZE, NAVA = "unitalking_full_size_", "unitalking_nava_"
"""How the names of templates begin that need large files: a model of one's own, and a public one."""
FRONT_END_ONLY = ("MarkdownNote", "Note", "Reroute")


def pack_version() -> tuple[str, str]:
    """Name and version of this pack in the registry."""
    text = (host.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    name, version = (re.search(rf'^{key} = "([^"]+)"', text, re.MULTILINE) for key in ("name", "version"))
    assert name and version
    return name[1], version[1]


def origin(node_type: str) -> tuple[str, str]:
    """`cnr_id` and `ver` of a node."""
    return pack_version() if OWN.search(node_type) else (CORE, host.VERSION)


def finish(workflow: dict[str, Any], name: str) -> dict[str, Any]:
    """The workflow (UI format) as it is shipped under that name."""
    workflow["id"] = str(uuid.uuid5(NAMESPACE, name))
    for node in workflow["nodes"]:
        if node["type"] not in FRONT_END_ONLY:
            node["properties"]["cnr_id"], node["properties"]["ver"] = origin(node["type"])
    arrange(workflow["nodes"])
    lowest = max(bottom(node) for node in workflow["nodes"])
    for group in workflow["groups"]:
        group["bounding"][3] = lowest - GAP + HEAD - group["bounding"][1]
    return workflow


def bottom(node: dict[str, Any]) -> float:
    """Where the next node may begin."""
    return node["pos"][1] + node["size"][1] + SAYS.get(node["type"], 0) + GAP


def arrange(nodes: list[dict[str, Any]]) -> None:
    """Move each node up or down to where those end that stand over it; the order from top to bottom stays."""
    done: list[dict[str, Any]] = []
    for node in sorted(nodes, key=lambda node: node["pos"][1]):
        left, right = node["pos"][0], node["pos"][0] + node["size"][0]
        over = [each for each in done if each["pos"][0] < right and left < each["pos"][0] + each["size"][0]]
        node["pos"][1] = max([TOP, *map(bottom, over)])
        done.append(node)


def write(path: Path) -> None:
    workflow = finish(json.loads(path.read_text(encoding="utf-8")), path.stem)
    path.write_text(json.dumps(workflow, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def update() -> int:
    """All templates."""
    for path in sorted(WORKFLOWS.glob("*.json")):
        write(path)
        say(f"workflows/{path.name}")
    return 0


if __name__ == "__main__":
    console.main(update)
