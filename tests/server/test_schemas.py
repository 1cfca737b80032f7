"""Saved workflows store widget values and links by position: inputs and outputs of a node are append-only once landed."""

from __future__ import annotations

import json
from pathlib import Path

from tests.server.harness import ComfyServer

SNAPSHOT = Path(__file__).with_name("schemas.json")
NODES = (
    "LoadUniTalkingModel",
    "EncodeReferenceVoice",
    "EncodePortrait",
    "UniTalkingEmptyClip",
    "UniTalkingApplyVoice",
    "JointFlowSampler",
    "DecodeAV",
    "SaveTalkingVideo",
    "UniTalkingEmptySpeech",
    "UniTalkingGiveSpeech",
    "UniTalkingGiveVideo",
    "UniTalkingContinueClip",
    "UniTalkingSaveVoice",
    "UniTalkingLoadVoice",
    "UniTalkingPrompt",
    "UniTalkingAttentionMaps",
    "UniTalkingLongClip",
    "UniTalkingDialogue",
    "UniTalkingTwoFaces",
)


def schemas(comfy: ComfyServer) -> dict[str, dict[str, list[list[str]]]]:
    """Per node: inputs and outputs as [name, type], in the order a saved workflow counts them."""
    found = {}
    for name in NODES:
        info = comfy.object_info(name)[name]
        given = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        order = [key for group in ("required", "optional") for key in info["input_order"].get(group, [])]
        inputs = [[key, "COMBO" if isinstance(given[key][0], list) else given[key][0]] for key in order]
        found[name] = {"inputs": inputs, "outputs": [list(pair) for pair in zip(info["output_name"], info["output"], strict=True)]}
    return found


def test_inputs_and_outputs_are_append_only(studio: ComfyServer) -> None:
    """What has landed stays at the front, in its order. A new input or output is added to schemas.json in the same change."""
    now, landed = schemas(studio), json.loads(SNAPSHOT.read_text())
    for name, sides in landed.items():
        for side, ports in sides.items():
            assert now[name][side][: len(ports)] == ports, f"{name}: {side} that have landed were changed"
    assert now == landed, "nodes have gained something: append it to schemas.json"


def test_every_input_and_node_is_explained(studio: ComfyServer) -> None:
    for name in NODES:
        info = studio.object_info(name)[name]
        assert info["description"], name
        assert info["category"] == "UniTalking"
        for group in info["input"].values():
            for key, spec in group.items():
                if key not in ("prompt", "extra_pnginfo", "unique_id", "dynprompt"):
                    assert spec[1].get("tooltip"), f"{name}.{key} has no tooltip"
