"""HTML and SVG from nested calls. A plain string is text and is escaped; only what `tag` made passes as it is."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID = frozenset({"meta", "br"})  # elements without an end


class Markup(str):
    """HTML that is finished."""


def tag(name: str, /, *children: str | Iterable[str], **attributes: object) -> Markup:
    """An element. children: text, Markup, or lists of them. attributes: None and False leave one out, True writes its name alone; a
    trailing underscore is dropped (`class_`), the others become hyphens (`stroke_width`).
    """
    written = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: str | Iterable[str]) -> Markup:
    """Children one after the other, without an element around them."""
    return Markup("".join(_child(child) for child in children))


def definitions(pairs: Iterable[tuple[str, str]]) -> Markup:
    """A list of terms and what they are."""
    return tag("dl", [join(tag("dt", term), tag("dd", meaning)) for term, meaning in pairs])


def _child(child: str | Iterable[str]) -> str:
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return html.escape(child)
    return join(*child)


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f' {name}="{html.escape(text)}"'
