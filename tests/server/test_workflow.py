"""A person's own sentence and seed find their places in a workflow in API format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import workflow
from scripts.console import Problem


def graph() -> dict:
    """The shape of the main job: a voice rides on the positive conditioning; the negative prompt is a text node too."""
    return {
        "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["9", 1]}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "<S>old words<E> a woman, calm", "clip": ["9", 1]}},
        "3": {"class_type": "ApplyVoice", "inputs": {"conditioning": ["2", 0], "voice": ["8", 0]}},
        "4": {"class_type": "Sampler", "inputs": {"positive": ["3", 0], "negative": ["1", 0], "seed": 1, "steps": 4}},
        "8": {"class_type": "Voice", "inputs": {"audio": "a.wav"}},
        "9": {"class_type": "Loader", "inputs": {}},
    }


def test_plain_sentence_takes_the_place_of_the_spoken_words_only() -> None:
    prompt = graph()
    workflow.set_text(prompt, "new words", keep_description=True)
    assert prompt["2"]["inputs"]["text"] == "<S>new words<E> a woman, calm"
    assert prompt["1"]["inputs"]["text"] == "blurry"


@pytest.mark.parametrize(("text", "keep"), [("new words", False), ("<S>tagged<E> a man", True)])
def test_whole_prompt_is_replaced(text: str, keep: bool) -> None:
    prompt = graph()
    workflow.set_text(prompt, text, keep_description=keep)
    assert prompt["2"]["inputs"]["text"] == text


def test_seed_reaches_the_sampler_and_nothing_else_changes() -> None:
    prompt = graph()
    workflow.set_seed(prompt, 77)
    assert prompt["4"]["inputs"] == {**graph()["4"]["inputs"], "seed": 77}
    assert {key: prompt[key] for key in "12389"} == {key: graph()[key] for key in "12389"}


def test_workflow_without_text_says_so() -> None:
    with pytest.raises(Problem, match="no text"):
        workflow.set_text({"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}, "x", keep_description=True)


@pytest.mark.parametrize(("content", "reason"), [("{", "not JSON"), (json.dumps({"nodes": []}), "API format"), ("[1]", "API format")])
def test_wrong_files_are_named(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "w.json"
    path.write_text(content)
    with pytest.raises(Problem, match=reason):
        workflow.load(path)
    with pytest.raises(Problem, match="no workflow"):
        workflow.load(tmp_path / "absent.json")
