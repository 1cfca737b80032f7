"""What the registry, the Manager and the template browser read: addresses, pictures, templates that say where their nodes come from."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from scripts import templates
from scripts.host import ROOT, VERSION, lowest_supported, numbers
from scripts.releases import RELEASES

PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
TEMPLATES = sorted((ROOT / "workflows").glob("*.json"))


def test_requirements_are_the_projects_and_leave_torch_alone() -> None:
    wanted = (ROOT / "requirements.txt").read_text().split()
    found = re.search(r"^dependencies = \[(.*?)\]", PROJECT, re.MULTILINE)
    assert found
    assert re.findall(r'"([^"]+)"', found[1]) == wanted
    assert not any(name.startswith("torch") or re.search(r"[=<>~]", name) for name in wanted)


def test_the_registrys_entry_is_complete() -> None:
    name, version = templates.pack_version()
    assert name == "unitalking"
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    (repository,) = re.findall(r'^Repository = "(https://github\.com/[\w-]+/[\w-]+)"$', PROJECT, re.MULTILINE)
    for key, shape in (("Icon", (1, 1)), ("Banner", (21, 9))):
        (url,) = re.findall(rf'^{key} = "([^"]+)"$', PROJECT, re.MULTILINE)
        raw = repository.replace("github.com", "raw.githubusercontent.com") + "/main/"
        assert url.startswith(raw)
        with Image.open(ROOT / url.removeprefix(raw)) as picture:
            assert picture.width * shape[1] == picture.height * shape[0]
    for line in (".github/workflows/publish.yml", ".comfyignore", "SECURITY.md", "LICENSE", "CHANGELOG.md"):
        assert (ROOT / line).is_file(), line


def test_what_is_left_out_of_the_package_is_there() -> None:
    """A line of .comfyignore that matches nothing is a mistake."""
    for line in (ROOT / ".comfyignore").read_text().splitlines():
        if line and not line.startswith("#"):
            assert list(ROOT.glob(line.rstrip("/"))), line


def test_the_demos_version_is_supported_and_known() -> None:
    assert VERSION in RELEASES
    assert numbers(VERSION) >= lowest_supported()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_is_as_shipped(path: Path) -> None:
    """Ids, origins and layout are those of `python -m scripts.templates`; a thumbnail lies beside it; nothing overlaps."""
    workflow = json.loads(path.read_text(encoding="utf-8"))
    assert templates.finish(copy.deepcopy(workflow), path.stem) == workflow, "run `python -m scripts.templates`"
    with Image.open(path.with_suffix(".jpg")) as picture:
        assert picture.size == (512, 512)
    boxes = [(*node["pos"], *node["size"]) for node in workflow["nodes"]]
    for i, (x, y, width, height) in enumerate(boxes):
        for left, top, across, down in boxes[:i]:
            assert x >= left + across or left >= x + width or y >= top + down or top >= y + height, "two nodes overlap"
    assert any(node["type"] == "MarkdownNote" for node in workflow["nodes"])
    assert workflow["groups"]


def test_a_full_size_template_names_its_public_files() -> None:
    """Files that somebody has published are offered for download; the note tells that the model itself is nobody's yet."""
    needs = (ROOT / "docs" / "full_size.md").read_text(encoding="utf-8")
    for path in (path for path in TEMPLATES if path.stem.startswith(templates.FULL_SIZE)):
        nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"]
        (loader,) = (node for node in nodes if node["type"] == "LoadUniTalkingModel")
        (note,) = (node["widgets_values"][0] for node in nodes if node["type"] == "MarkdownNote")
        for model in loader["properties"]["models"]:
            assert model["name"] in loader["widgets_values"]
            assert model["name"] in note
            assert f"| `{model['directory']}` | `{model['name']}` |" in needs
            assert model["url"].startswith("https://huggingface.co/Comfy-Org/")
            assert model["url"].endswith(f"/{model['name']}")
        assert "nobody has published one" in note


def test_navas_template_names_its_files() -> None:
    """All four are public and offered for download; the note and the page name them."""
    needs = (ROOT / "docs" / "nava.md").read_text(encoding="utf-8")
    for path in (path for path in TEMPLATES if path.stem.startswith(templates.NAVA)):
        nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"]
        (loader,) = (node for node in nodes if node["type"] == "LoadUniTalkingModel")
        (note,) = (node["widgets_values"][0] for node in nodes if node["type"] == "MarkdownNote")
        models = loader["properties"]["models"]
        assert [model["name"] for model in models] == [name for name in loader["widgets_values"] if name.endswith(".safetensors")]
        for model in models:
            assert f"| `{model['name']}` | `{model['directory']}` |" in note
            assert f"`{model['name']}`" in needs
            assert re.fullmatch(rf"https://huggingface\.co/(Comfy-Org|ernie-research)/[\w./-]+/{re.escape(model['name'])}", model["url"])


def test_template_ids_differ() -> None:
    ids = [json.loads(path.read_text(encoding="utf-8"))["id"] for path in TEMPLATES]
    assert len(set(ids)) == len(ids)
