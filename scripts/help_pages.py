"""`python -m scripts.help_pages [pictures]`: writes the translated help of every node from its translated texts.

The English pages are written by hand; the others say what a node's name, description and tooltips say in `locales/`, so that they
cannot fall behind. With `pictures` also takes the nodes' pictures, `web/docs/<NodeId>/node.png`, in a real browser (the environment of
`make test`).
"""

from __future__ import annotations

import sys
from typing import Any

from . import console, host, locales
from .comfy_server import ComfyServer
from .console import say

DOCS = host.ROOT / "web" / "docs"
HEADS = {"zh": ("输入", "输出"), "ja": ("入力", "出力"), "ko": ("입력", "출력")}


def page(node: str, texts: dict[str, Any], language: str) -> str:
    """The Markdown of a node from its entry in nodeDefs.json."""
    inputs, outputs = HEADS[language]
    name = texts["display_name"]
    lines = [f"# {name}", "", f"![{name}]({node}/node.png)", "", texts["description"], "", f"## {inputs}", ""]
    lines += [f"- **{each['name']}** (`{key}`): {each['tooltip']}" for key, each in texts["inputs"].items()]
    lines += ["", f"## {outputs}", ""]
    lines += [f"- **{each['name']}**" for each in texts["outputs"].values()]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """All translated pages: path under web/docs -> Markdown."""
    return {f"{node}/{language}.md": page(node, texts, language) for language in HEADS for node, texts in locales.read(language).items()}


def update() -> int:
    """Write them, and take the pictures if asked to."""
    for path, text in pages().items():
        (DOCS / path).write_text(text, encoding="utf-8")
    say(f"web/docs: {len(pages())} pages")
    if sys.argv[1:] == ["pictures"]:
        sys.path.insert(0, str(host.ROOT))
        from tests.browser.run import run_browser

        with ComfyServer(host.prepare(), ["--cpu", "--disable-api-nodes"]) as server:
            order = {"types": list(locales.read("en")), "docs": str(DOCS)}
            run_browser("gallery.mjs", server.url, order, {"Comfy.VueNodes.Enabled": False})
        say(f"web/docs: {len(locales.read('en'))} pictures")
    return 0


if __name__ == "__main__":
    console.main(update)
