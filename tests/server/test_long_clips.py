"""Long clips, dialogues and attention maps in the real host, on the small random model."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from scripts.comfy_client import Prompt
from tests.server.graphs import latent_of, main_job, sampled
from tests.server.harness import ComfyServer
from tests.server.test_tasks import check_clip, give_video, inputs, probe  # noqa: F401  the fixture

SCRIPT = "One bird sings.\nTwo cats sleep.\nWe walk."
SAMPLING = {"seed": 1, "video_text_scale": 3.0, "audio_text_scale": 3.0, "voice_scale": 1.0, "video_sync_scale": 0.0}
SAMPLING |= {"audio_sync_scale": 0.0, "sampler_name": "euler", "scheduler": "simple"}
REST = {"context": 0.35, "language": "auto", "pace": 1.0, "parts": 0}


def long_clip(name: str, steps: int = 2, **settings: Any) -> Prompt:
    """The main job with a script in place of one sentence."""
    prompt = main_job()
    del prompt["4"], prompt["9"], prompt["10"]
    given = {"model": ["1", 0], "clip": ["1", 1], "audio_vae": ["1", 3], "negative": ["5", 0], "latent": ["7", 0], "voice": ["6", 0]}
    given |= {"script": SCRIPT, "description": "a woman", "steps": steps, **SAMPLING, **REST, **settings}
    prompt["8"] = {"class_type": "UniTalkingLongClip", "inputs": given}
    prompt["90"] = {"class_type": "ProbeLatent", "inputs": {"latent": ["8", 0], "name": name}}
    return prompt


def dialogue(name: str, **settings: Any) -> Prompt:
    prompt = long_clip(name)
    prompt["14"] = copy.deepcopy(prompt["7"])
    kept = {k: v for k, v in prompt["8"]["inputs"].items() if k not in ("latent", "voice", "description", "script")}
    given = {"latent_a": ["7", 0], "latent_b": ["14", 0], "voice_a": ["6", 0], "description_a": "a woman", "description_b": "a man"}
    prompt["8"] = {"class_type": "UniTalkingDialogue", "inputs": {**kept, **given, "script": "A: One bird.\nB: Two cats.", **settings}}
    return prompt


def test_a_long_clip_is_one_clip(studio: ComfyServer) -> None:
    prompt = long_clip("long")
    prompt["9"] = {"class_type": "DecodeAV", "inputs": {"latent": ["8", 0], "vae": ["1", 2], "audio_vae": ["1", 3]}}
    saved = {"video": ["9", 0], "filename_prefix": "long", "format": "mp4", "quality": "high"}
    prompt["10"] = {"class_type": "SaveTalkingVideo", "inputs": saved}
    prompt["93"] = {"class_type": "ProbeLatent", "inputs": {"latent": ["7", 0], "name": "portrait"}}
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    story = run.outputs["8"]["text"][0]
    assert story.splitlines()[1:] == ["1. One bird sings.", "2. Two cats sleep.", "3. We walk."], story
    made, portrait = (load_file(studio.base / "output" / f"{n}.safetensors") for n in ("long", "portrait"))
    latents = made["samples.0"].shape[2]
    frames = 4 * (latents - 1) + 1
    assert frames > 24  # more than the model's own second
    assert made["samples.1"].shape[-1] == -(-frames * 25 // 24)
    assert torch.equal(made["samples.0"][:, :, 0], portrait["samples.0"][:, :, 0])
    check_clip(studio.files(run)[0], frames, 24)

    changed = latent_of(studio, long_clip("changed", script="One bird sings.\nTwo cats sleep.\nThey run."))
    assert torch.equal(changed["samples.0"][:, :, : latents // 2], made["samples.0"][:, :, : latents // 2])
    assert not torch.equal(changed["samples.0"][:, :, -3:], made["samples.0"][:, :, -3:])
    again = studio.queue(long_clip("again"))
    assert "2 of the parts were there from the last run" in again.outputs["8"]["text"][0]
    assert torch.equal(load_file(studio.base / "output" / "again.safetensors")["samples.0"], made["samples.0"])


def test_an_interrupt_keeps_what_is_finished(studio: ComfyServer) -> None:
    steps = 40

    def stop(kind: str, data: dict) -> None:
        if kind == "progress" and data["node"] == "8" and data["value"] > steps:
            assert data["max"] == 3 * steps
            studio.interrupt()

    run = studio.queue(long_clip("stopped", steps=steps), stop)
    assert run.status == "interrupted"
    first = studio.queue(long_clip("first", steps=steps, parts=1))
    assert first.ok, first.explain()
    assert "1 of the parts were there" in first.outputs["8"]["text"][0]


def test_two_people_take_turns(studio: ComfyServer) -> None:
    prompt = dialogue("both")
    for node, output in (("91", 1), ("92", 2)):
        prompt[node] = {"class_type": "ProbeLatent", "inputs": {"latent": ["8", output], "name": f"alone{output}"}}
    prompt["9"] = {"class_type": "DecodeAV", "inputs": {"latent": ["8", 0], "vae": ["1", 2], "audio_vae": ["1", 3]}}
    saved = {"video": ["9", 0], "filename_prefix": "dialogue", "format": "mp4", "quality": "high"}
    prompt["10"] = {"class_type": "SaveTalkingVideo", "inputs": saved}
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    assert run.outputs["8"]["text"][0].splitlines()[1:] == ["1. A: One bird.", "2. B: Two cats."]
    both, a, b = (load_file(studio.base / "output" / f"{n}.safetensors") for n in ("both", "alone1", "alone2"))
    assert torch.equal(both["samples.0"], torch.cat([a["samples.0"], b["samples.0"]], dim=-1))
    half = both["samples.1"].shape[-1] // 3
    assert torch.equal(both["samples.1"][..., :half], a["samples.1"][..., :half])
    assert torch.equal(both["samples.1"][..., -half:], b["samples.1"][..., -half:])
    assert not torch.equal(a["samples.1"], b["samples.1"])
    spoken, heard = (x["samples.1"][..., 2:half].std(-1).mean() for x in (a, b))  # silence is one value per channel, over time
    assert heard < 0.2 * spoken, "who listens is given silence"
    frames = probe(studio.files(run)[0])[0]
    assert frames[0].shape == (64, 128, 3)


def test_two_people_in_one_picture(studio: ComfyServer) -> None:
    """Parted between the faces that a detector found, the halves are the picture again; one face alone is refused."""
    prompt = dialogue("one_picture")
    loader = next(node for node, spec in prompt.items() if spec["class_type"] == "LoadImage")
    prompt[loader]["inputs"]["image"] = "unitalking_two_people.png"
    prompt["20"] = {"class_type": "UniTalkingTwoFaces", "inputs": {"image": [loader, 0], "split": 0.5}}
    prompt["7"]["inputs"]["image"], prompt["14"]["inputs"]["image"] = ["20", 0], ["20", 1]
    for node, output in (("21", 0), ("22", 1)):
        prompt[node] = {"class_type": "ProbeMedia", "inputs": {"name": f"half{output}", "images": ["20", output]}}
    prompt["23"] = {"class_type": "ProbeMedia", "inputs": {"name": "picture", "images": [loader, 0]}}
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    assert run.outputs["20"]["text"] == ["1024x512 -> two pictures of 512x512, parted at column 512, at 50% of the width"]
    left, right, whole = (load_file(studio.base / "output" / f"{n}.safetensors")["images"] for n in ("half0", "half1", "picture"))
    assert torch.equal(torch.cat([left, right], dim=2), whole)

    prompt["24"] = {"class_type": "PrimitiveBoundingBox", "inputs": {"x": 100, "y": 100, "width": 320, "height": 340}}
    prompt["20"]["inputs"]["faces"] = ["24", 0]
    assert "one face was found and two are needed" in studio.queue(prompt).explain()


def test_two_people_of_different_widths(studio: ComfyServer) -> None:
    prompt = dialogue("wide")
    prompt["14"]["inputs"] |= {"width": 96, "height": 64}
    made = latent_of(studio, prompt)
    assert made["samples.0"].shape[-2:] == (4, 10)


def test_what_a_dialogue_cannot_be(studio: ComfyServer) -> None:
    for settings, message in (
        ({"script": "hello there"}, "nobody says"),
        ({"script": "A: x\nB: y\nC: z"}, "3 people speak"),
        ({"context": 0.9}, "leaves no room for words"),
    ):
        assert message in studio.queue(dialogue("bad", **settings)).explain()
    prompt = dialogue("bad")
    prompt["8"]["inputs"]["description_b"] = "<S>hello<E> a man"
    assert "the description holds <S>" in studio.queue(prompt).explain()
    prompt = dialogue("bad")
    prompt["15"] = {"class_type": "UniTalkingGiveSpeech", "inputs": {"latent": ["14", 0], "audio_vae": ["1", 3], "audio": ["3", 0]}}
    prompt["8"]["inputs"]["latent_b"] = ["15", 0]
    assert "speech is given in this latent" in studio.queue(prompt).explain()
    prompt = dialogue("bad")
    prompt["14"]["inputs"] |= {"width": 64, "height": 96}
    assert "different heights (64 and 96 pixels)" in studio.queue(prompt).explain()


def attention(prompt: Prompt, **settings: Any) -> Prompt:
    given = {"model": ["1", 0], "positive": ["4", 0], "latent": ["8", 0], "voice": ["6", 0], **settings}
    prompt["20"] = {"class_type": "UniTalkingAttentionMaps", "inputs": given}
    for node, output in (("21", 0), ("22", 1), ("23", 2)):
        prompt[node] = {"class_type": "ProbeMedia", "inputs": {"name": f"maps{output}", "images": ["20", output]}}
    return prompt


def test_attention_maps_change_nothing_and_can_be_read(studio: ComfyServer) -> None:
    prompt = attention(sampled("watched", seed=11))
    mask = {"value": 1.0, "width": 64, "height": 64}
    prompt["24"] = {"class_type": "SolidMask", "inputs": mask}
    prompt["20"]["inputs"] |= {"region": ["24", 0]}
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    report = run.outputs["20"]["text"][0]
    assert report.count("100.0% of it to the region that is 100.0% of the picture") == 2, report
    maps = [load_file(studio.base / "output" / f"maps{i}.safetensors")["images"] for i in range(3)]
    assert maps[0].shape == maps[1].shape == (13, 64, 64, 3)
    assert maps[2].shape[-1] == 3
    assert all(m.std() > 0.01 for m in maps)
    one = studio.queue(attention(sampled("watched", seed=11), block=1))
    assert one.ok, one.explain()
    assert not torch.equal(load_file(studio.base / "output" / "maps0.safetensors")["images"], maps[0])
    assert "blocks 0 to 1" in studio.queue(attention(sampled("watched", seed=11), block=2)).explain()


@pytest.mark.usefixtures("inputs")
def test_a_description_of_sound_steers_a_given_video(studio: ComfyServer) -> None:
    """Foley: words are not needed; the map of a picture that is given stays dark."""
    made = []
    for text in ("<S><E> rain on a roof", "<S><E> a dog barks"):
        prompt = give_video(sampled("foley"))
        prompt["4"]["inputs"]["text"] = text
        made.append(latent_of(studio, prompt))
    assert torch.equal(made[0]["samples.0"], made[1]["samples.0"])
    assert (made[0]["samples.1"] - made[1]["samples.1"]).abs().max() > 1e-2
    run = studio.queue(attention(give_video(sampled("foley"))))
    assert run.ok, run.explain()
    assert "the picture is given: it cannot hear the sound" in run.outputs["20"]["text"][0]
