"""Voices kept as files, portraits with a known face, scripts with a length: the nodes around the model, in the real host."""

from __future__ import annotations

import copy
import shutil
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from scripts.comfy_client import Prompt
from tests.server.graphs import largest_difference, latent_of, main_job, sampled, write_wave
from tests.server.harness import ComfyServer
from tests.voices import spoken
from unitalking_core.codecs.mel import Mel
from unitalking_core.conditions.voice_file import CodecId, SavedVoice, load_voice, save_voice

SAVED = "Anna_s_voice_00001_.safetensors"
NANO = "unitalking-nano.safetensors"


def says(studio: ComfyServer, prompt: Prompt, node: str) -> str:
    """What a node says it did. (Something must be shown for a graph to run at all.)"""
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    return run.outputs[node]["text"][0]


def voice_alone(**settings: Any) -> Prompt:
    prompt = {key: node for key, node in main_job().items() if key in ("1", "3", "6")}
    prompt["6"]["inputs"].update(settings)
    prompt["60"] = {"class_type": "UniTalkingSaveVoice", "inputs": {"voice": ["6", 0], "name": "Anna's voice", "licence": "her own, 2026"}}
    return prompt


def test_a_voice_is_kept_and_comes_back(studio: ComfyServer) -> None:
    """Saved and loaded it speaks as before, and says whose it is; the node plays what it kept."""
    prompt = voice_alone()
    recording = studio.base / "input" / prompt["3"]["inputs"]["audio"]
    # Under a name of its own: what another test heard already is cached, and a cached node says nothing.
    prompt["3"]["inputs"]["audio"] = shutil.copy(recording, recording.with_name("anna.wav")).name
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    assert "kept of 3.0 s" in run.outputs["6"]["text"][0]
    assert run.outputs["6"]["audio"][0]["filename"].endswith(".flac")
    file = studio.base / "output" / "voices" / SAVED
    saved = load_voice(file)
    assert (saved.name, saved.licence, saved.codec.name) == ("Anna's voice", "her own, 2026", "nano-audio")
    assert saved.preview.shape[-1] == pytest.approx(1.2 * 16000, abs=160)  # 30 tokens of 40 ms

    reference = latent_of(studio, sampled("encoded_voice"))
    prompt = sampled("loaded_voice")
    prompt["6"] = {"class_type": "UniTalkingLoadVoice", "inputs": {"voice_file": SAVED, "audio_vae": ["1", 3]}}
    assert "her own, 2026" in says(studio, copy.deepcopy(prompt), "6")
    loaded = load_file(studio.base / "output" / "loaded_voice.safetensors")
    assert max(largest_difference(loaded, reference)) < 1e-5


def test_without_any_voice_the_list_says_so(studio: ComfyServer) -> None:
    folder = studio.base / "output" / "voices"
    aside = folder.rename(studio.base / "voices") if folder.exists() else None
    try:
        spec = studio.object_info()["UniTalkingLoadVoice"]["input"]["required"]["voice_file"]
        assert spec[1]["options"] == [spec[1]["default"]] == ["no voice saved yet"]
        prompt = sampled("none_yet")
        prompt["6"] = {"class_type": "UniTalkingLoadVoice", "inputs": {"voice_file": "no voice saved yet", "audio_vae": ["1", 3]}}
        assert "keep one with UniTalking Save Voice" in studio.queue(prompt).explain()
    finally:
        if aside:
            aside.rename(folder)


def test_a_voice_of_another_codec_is_refused_by_name(studio: ComfyServer) -> None:
    folder = studio.base / "output" / "voices"
    folder.mkdir(parents=True, exist_ok=True)
    codec = CodecId("mmaudio-44k", 40, 44100, 1024, "0123456789ab")
    save_voice(folder / "other.safetensors", SavedVoice(torch.zeros(1, 40, 9), torch.zeros(1, 900), 44100, "Otto", "", codec))
    save_voice(folder / "same.safetensors", SavedVoice(torch.zeros(1, 10, 9), torch.zeros(1, 900), 16000, "Ina", "",
               CodecId("nano-audio", 10, 16000, 640, "0123456789ab")))  # fmt: skip
    (folder / "junk.safetensors").write_bytes(b"junk")
    for name, message in (
        ("other", "the voice 'Otto' (other.safetensors) was made by the audio codec mmaudio-44k"),
        ("same", "weights 0123456789ab"),
        ("junk", "junk.safetensors is not a readable voice file"),
    ):
        prompt = sampled("refused")
        prompt["6"] = {"class_type": "UniTalkingLoadVoice", "inputs": {"voice_file": f"{name}.safetensors", "audio_vae": ["1", 3]}}
        run = studio.queue(prompt)
        assert run.status == "error"
        assert message in run.explain()


def test_a_whisper_needs_to_be_asked_for(studio: ComfyServer) -> None:
    write_wave(studio.base / "input" / "hiss.wav", 0.1 * torch.randn(3 * 16000, generator=torch.Generator().manual_seed(0)), 16000)
    prompt = voice_alone()
    prompt["3"]["inputs"]["audio"] = "hiss.wav"
    run = studio.queue(copy.deepcopy(prompt))
    assert "set 'find' to 'sound'" in run.explain()
    prompt["6"]["inputs"]["find"] = "sound"
    assert "1.2 s kept" in says(studio, prompt, "6")


@pytest.mark.slow
def test_the_reference_does_not_leak_into_the_output(studio: ComfyServer) -> None:
    """nano speaks other words with the voice: no second of it is a second of the recording.

    Measured by spectral pattern, as the model's vocoder makes its own phases. A copy through the codec measures 0.98; other sentences of
    the same voice 0.46 to 0.65.
    """
    prompt = {key: node for key, node in main_job().items() if key in ("1", "3", "4", "5", "6", "8")}
    prompt["1"]["inputs"]["checkpoint"] = NANO
    prompt["3"]["inputs"]["audio"] = "unitalking_voice_woman.wav"
    prompt["7"] = {"class_type": "UniTalkingEmptySpeech", "inputs": {"model": ["1", 0], "seconds": 2.0}}
    prompt["8"]["inputs"] |= {"latent": ["7", 0], "steps": 8, "voice_scale": 2.0}
    prompt["9"] = {"class_type": "DecodeAV", "inputs": {"latent": ["8", 0], "vae": ["1", 2], "audio_vae": ["1", 3]}}
    prompt["91"] = {"class_type": "ProbeMedia", "inputs": {"name": "leak", "audio": ["9", 2]}}
    prompt["60"] = {"class_type": "UniTalkingSaveVoice", "inputs": {"voice": ["6", 0], "name": "leak", "licence": ""}}
    run = studio.queue(prompt)
    assert run.ok, run.explain()
    made = load_file(studio.base / "output" / "leak.safetensors")["waveform"][0, 0]
    reference = load_voice(studio.base / "output" / "voices" / "leak_00001_.safetensors").preview[0]
    assert made.square().mean().sqrt() > 1e-3
    second = 16000
    copied = reference[second : 2 * second] + 0.02 * reference.std() * torch.randn(second, generator=torch.Generator().manual_seed(0))
    assert likeness(reference, copied) > 0.85
    assert max(likeness(reference, made[start : start + second]) for start in range(0, len(made) - second, second // 4)) < 0.7


def likeness(long: torch.Tensor, part: torch.Tensor) -> float:
    """How much the log-mel pattern of a part of a recording is like that of the most similar place of another one; 1 for a copy."""
    mel = Mel(16000, 1024, 320, 64, iterations=1, momentum=0.0)
    place, wanted = (mel.analyse(x[None, : len(x) // 320 * 320])[0] for x in (long, part))
    windows = place.unfold(1, wanted.shape[1], 1).movedim(1, 0)
    windows, wanted = (x - x.mean(-1, keepdim=True) for x in (windows, wanted))
    return float(((windows * wanted).sum((1, 2)) / (windows.flatten(1).norm(dim=1) * wanted.norm())).max())


def portrait(**settings: Any) -> Prompt:
    prompt = {key: node for key, node in sampled("portrait").items() if key in ("1", "2", "7", "90")}
    prompt["7"]["inputs"].update(settings)
    prompt["90"]["inputs"]["latent"] = ["7", 0]
    return prompt


def test_portraits_of_every_kind(studio: ComfyServer) -> None:
    folder = studio.base / "input"
    Image.effect_noise((301, 140), 80).convert("RGBA").save(folder / "wide.png")
    Image.new("LA", (90, 170), (200, 100)).save(folder / "grey.png")
    for image, fit, size in (("wide.png", "contain", (64, 32)), ("grey.png", "pad", (64, 64)), ("wide.png", "crop", (64, 64))):
        prompt = portrait(fit=fit)
        prompt["2"]["inputs"]["image"] = image
        assert f"-> {size[0]}x{size[1]} ({fit})" in says(studio, prompt, "7")
        assert load_file(studio.base / "output" / "portrait.safetensors")["samples.0"].shape[3:] == (size[1] // 16, size[0] // 16)


def test_a_crop_is_laid_around_a_face(studio: ComfyServer) -> None:
    """The face is where a BOUNDING_BOX or a mask says; without one the crop is the top's."""
    plain = latent_of(studio, portrait())
    prompt = portrait(face=["30", 0])
    prompt["30"] = {"class_type": "PrimitiveBoundingBox", "inputs": {"x": 100, "y": 120, "width": 30, "height": 40}}
    text = says(studio, copy.deepcopy(prompt), "7")
    assert "laid around the face (40% of the height)" in text
    boxed = load_file(studio.base / "output" / "portrait.safetensors")
    assert (boxed["samples.0"] - plain["samples.0"]).abs().max() > 1e-2
    del prompt["7"]["inputs"]["face"], prompt["30"]
    prompt["31"] = {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 161, "height": 203}}
    prompt["32"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 30, "height": 40}}
    joined = {"destination": ["31", 0], "source": ["32", 0], "x": 100, "y": 120, "operation": "add"}
    prompt["33"] = {"class_type": "MaskComposite", "inputs": joined}
    prompt["7"]["inputs"]["face_mask"] = ["33", 0]
    masked = latent_of(studio, prompt)
    assert torch.equal(masked["samples.0"], boxed["samples.0"])


def test_a_picture_of_a_batch(studio: ComfyServer) -> None:
    prompt = portrait(image=["20", 0], picture=1)
    prompt["20"] = {"class_type": "RepeatImageBatch", "inputs": {"image": ["2", 0], "amount": 2}}
    assert "number 1 of 2 pictures" in says(studio, copy.deepcopy(prompt), "7")
    prompt["7"]["inputs"]["picture"] = 2
    assert "picture 2 was asked for, 2 came in" in studio.queue(prompt).explain()


def test_a_script_becomes_a_clip(studio: ComfyServer) -> None:
    """Speech and description kept apart give the same as one marked prompt; the clip takes the length the words need."""
    reference = latent_of(studio, sampled("marked"))
    prompt = sampled("script")
    script = {"speech": "the red bird sings", "description": "a woman", "seconds": 0.0, "language": "auto", "pace": 1.0}
    prompt["4"] = {"class_type": "UniTalkingPrompt", "inputs": {**script, "clip": ["1", 1], "model": ["1", 0]}}
    assert "these 4 words need about 1.2 s, the clip has 1.2 s" in says(studio, copy.deepcopy(prompt), "4")
    assert max(largest_difference(load_file(studio.base / "output" / "script.safetensors"), reference)) == 0
    prompt["7"]["inputs"]["seconds"] = ["4", 2]
    assert latent_of(studio, prompt)["samples.0"].shape[2] == 8


def test_what_does_not_fit_is_said(studio: ComfyServer) -> None:
    words = "der alte Bauer ist nicht müde, und die Katze schläft auf dem Tisch"
    script = {"speech": words, "description": "", "seconds": 2.0, "language": "auto", "pace": 1.0, "model": ["1", 0]}
    prompt = {"1": main_job()["1"], "4": {"class_type": "UniTalkingPrompt", "inputs": script}}
    prompt["5"] = {"class_type": "PreviewAny", "inputs": {"source": ["4", 1]}}
    text = says(studio, copy.deepcopy(prompt), "4")
    assert "too short" in text
    assert "speaks English, the words look like German" in text
    assert "trained on clips of 1.0 s" in text
    prompt["5"]["inputs"]["source"] = ["4", 0]
    assert "has no CLIP" in studio.queue(copy.deepcopy(prompt)).explain()
    for speech, message in (("", "nothing is spoken"), ("<S>a<S>b<E>", "found 2 <S> and 1 <E>")):
        prompt["4"]["inputs"]["speech"] = speech
        assert message in studio.queue(copy.deepcopy(prompt)).explain()


def test_a_sound_without_words(studio: ComfyServer) -> None:
    """Described alone it takes the model's length, or the one that is told; the model says that it knows speech alone."""
    script = {"speech": "", "description": "rain on a roof", "seconds": 0.0, "language": "auto", "pace": 1.0, "model": ["1", 0]}
    prompt = {"1": main_job()["1"], "4": {"class_type": "UniTalkingPrompt", "inputs": script}}
    prompt["5"] = {"class_type": "PreviewAny", "inputs": {"source": ["4", 1]}}
    text = says(studio, copy.deepcopy(prompt), "4")
    assert "nothing is spoken, the clip has 1.0 s" in text
    assert "trained on speech alone" in text
    del script["model"], prompt["1"]
    assert "set 'seconds', or connect the model" in studio.queue(copy.deepcopy(prompt)).explain()
    script["seconds"] = 3.0
    assert "the clip has 3.0 s" in says(studio, copy.deepcopy(prompt), "4")


def test_the_estimate_can_be_asked_for_while_typing(studio: ComfyServer) -> None:
    answer = studio.post("/unitalking/estimate", {"speech": "the red bird sings", "seconds": 2.0})
    assert answer["words"] == 4
    assert answer["language"] == "en"
    assert answer["text"].startswith("these 4 words need about")


def test_recordings_of_any_rate(studio: ComfyServer) -> None:
    for rate in (8000, 96000):
        write_wave(studio.base / "input" / f"voice_{rate}.wav", spoken(3, rate)[0], rate)
        prompt = voice_alone()
        prompt["3"]["inputs"]["audio"] = f"voice_{rate}.wav"
        assert f"1 channel at {rate} Hz" in says(studio, prompt, "6")
