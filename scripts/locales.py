"""`python -m scripts.locales`: writes locales/en/nodeDefs.json from the nodes as a real server describes them.

The English texts are the nodes' own; the file is what the other languages were translated from. A test compares all of them, so a text that
is changed in a node asks for this command and for its translations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from . import console, host
from .comfy_server import ComfyServer
from .console import say

LOCALES = host.ROOT / "locales"
LANGUAGES = ("en", "zh", "ja", "ko")
MODULE = f"custom_nodes.{host.PACK}"
HIDDEN = ("prompt", "extra_pnginfo", "unique_id", "dynprompt")


def own_nodes(object_info: dict[str, Any]) -> list[str]:
    """The ids of this pack's nodes in a server's description of all nodes."""
    return sorted(name for name, info in object_info.items() if info["python_module"] == MODULE)


def english(object_info: dict[str, Any]) -> dict[str, Any]:
    """nodeDefs.json of this pack's nodes: names, descriptions and tooltips, in the form ComfyUI translates nodes by."""
    found = {}
    for name in own_nodes(object_info):
        info = object_info[name]
        given = {key: spec for group in ("required", "optional") for key, spec in info["input"].get(group, {}).items()}
        found[name] = {
            "display_name": info["display_name"],
            "description": info["description"],
            "inputs": {key: {"name": key, "tooltip": spec[1]["tooltip"]} for key, spec in given.items()},
            "outputs": {str(i): {"name": output} for i, output in enumerate(info["output_name"])},
        }
    return found


def entries(texts: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """("SaveTalkingVideo.inputs.video.tooltip", text) for every text."""
    if isinstance(texts, str):
        yield path, texts
    else:
        for key, value in texts.items():
            yield from entries(value, f"{path}.{key}".lstrip("."))


def read(language: str, name: str = "nodeDefs") -> dict[str, Any]:
    return json.loads((LOCALES / language / f"{name}.json").read_text(encoding="utf-8"))


def write(language: str, texts: dict[str, Any], name: str = "nodeDefs") -> None:
    path = LOCALES / language / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(texts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def update() -> int:
    """Write the English texts and say which translations are missing."""
    with ComfyServer(host.prepare(), ["--cpu", "--disable-api-nodes"]) as server:
        texts = english(server.client.object_info())
    write("en", texts)
    wanted = dict(entries(texts))
    for language in LANGUAGES[1:]:
        missing = sorted(set(wanted) - set(dict(entries(read(language)))))
        say(f"{language}: " + (", ".join(missing) if missing else "complete"))
    return 0


if __name__ == "__main__":
    console.main(update)
