"""What people read: every node, input and output has its texts in every language, and a help page; none is missing, none is left over."""

from __future__ import annotations

import json
import re

import pytest

from scripts import help_pages, locales
from scripts.help_pages import DOCS
from scripts.host import ROOT
from tests.server.harness import ComfyServer

FROM_THE_LOADER = ("model", "vae", "audio_vae")
"""Explained once, on the page of Load UniTalking Model."""
ASK = "run `python -m scripts.locales`, then translate"


@pytest.fixture(scope="module")
def english(studio: ComfyServer) -> dict:
    return locales.english(studio.object_info())


def test_english_is_what_the_nodes_say(english: dict) -> None:
    """A changed text shows here by its path: its translations are stale then."""
    now, landed = dict(locales.entries(english)), dict(locales.entries(locales.read("en")))
    changed = sorted(path for path in now.keys() | landed.keys() if now.get(path) != landed.get(path))
    assert not changed, f"{ASK}: {changed}"


@pytest.mark.parametrize("language", locales.LANGUAGES[1:])
def test_every_text_is_translated(language: str) -> None:
    wanted, found = (dict(locales.entries(locales.read(each))) for each in ("en", language))
    assert wanted.keys() == found.keys()
    same = [path for path, text in found.items() if path.endswith((".tooltip", ".description")) and text == wanted[path]]
    assert not same, f"not translated: {same}"


@pytest.mark.parametrize("language", locales.LANGUAGES[1:])
def test_a_node_that_a_text_names_has_its_translated_name(language: str) -> None:
    english, translated = locales.read("en"), locales.read(language)
    found, names = dict(locales.entries(translated)), {texts["display_name"]: node for node, texts in english.items()}
    for path, text in locales.entries(english):
        for name in (name for name in names if name in text):
            assert translated[names[name]]["display_name"] in found[path], f"{language} {path} names {name} otherwise"


@pytest.mark.parametrize("language", locales.LANGUAGES)
def test_commands_have_names(language: str) -> None:
    ids = set(re.findall(r"const CONTINUE = '([^']+)'", (ROOT / "web" / "unitalking.js").read_text()))
    assert {name.replace("_", ".") for name in locales.read(language, "commands")} == ids


def test_the_panels_speak_every_language() -> None:
    """Each language of texts.js has the same keys and the same {places}."""
    text = (ROOT / "web" / "texts.js").read_text(encoding="utf-8")
    tables = dict(re.findall(r"^  (\w\w): \{\n(.*?)\n  \}", text, re.MULTILINE | re.DOTALL))
    assert set(tables) == set(locales.LANGUAGES)
    lines = {each: dict(re.findall(r"^    (\w+): '(.*)',?$", table, re.MULTILINE)) for each, table in tables.items()}
    for language, table in lines.items():
        assert table.keys() == lines["en"].keys(), language
        for key, words in table.items():
            assert sorted(re.findall(r"\{\w+\}", words)) == sorted(re.findall(r"\{\w+\}", lines["en"][key])), (language, key)


def test_every_node_has_its_help(english: dict) -> None:
    assert sorted(path.name for path in DOCS.iterdir()) == sorted(english)
    for node, texts in english.items():
        page = (DOCS / node / "en.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {texts['display_name']}\n")
        assert f"({node}/node.png)" in page
        assert (DOCS / node / "node.png").stat().st_size < 100_000
        unexplained = [name for name in texts["inputs"] if f"**{name}**" not in page and name not in FROM_THE_LOADER]
        assert not unexplained, f"web/docs/{node}/en.md does not explain {unexplained}"


def test_translated_help_is_current() -> None:
    for path, text in help_pages.pages().items():
        assert (DOCS / path).read_text(encoding="utf-8") == text, f"{path}: run `python -m scripts.help_pages`"


def test_locale_files_are_known_to_the_host() -> None:
    """A file by another name would be silently left out."""
    names = {path.relative_to(locales.LOCALES).as_posix() for path in locales.LOCALES.rglob("*.json")}
    assert names == {f"{language}/{name}.json" for language in locales.LANGUAGES for name in ("nodeDefs", "commands")}
    for name in names:
        json.loads((locales.LOCALES / name).read_text(encoding="utf-8"))
