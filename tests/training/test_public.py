"""Training a model with public codecs and UMT5, narrow ones: encoded once from their files, exact to resume, and a clip in the end."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from full_shaped import full_shaped, write_public_parts
from safetensors.torch import load_file, save_file
from training.test_latents import textures

from tests.conditions import tiny_umt5
from unitalking_core import checkpoint, cli
from unitalking_core.config import ConfigError
from unitalking_core.parts import load_part
from unitalking_core.presets import PRESETS
from unitalking_core.training import public
from unitalking_core.training.__main__ import main
from unitalking_core.training.batches import Batches
from unitalking_core.training.config import Stage
from unitalking_core.training.corpus import CorpusError
from unitalking_core.training.latents import LatentsError, LatentStore
from unitalking_core.training.objective import Learner
from unitalking_core.training.shards import open_latents, write_shards

for package in ("diffusers", "ftfy"):
    pytest.importorskip(package, reason=f"{package} is not installed (extra 'full')")

FRAMES, RATE = 9, 22050
TEXTS = ("seven bright birds", "the lazy dog sings", "a quick fox", "seven bright birds", "my old garden")


def write_corpus(folder: Path, rate: int | None = RATE) -> None:
    """Five clips at half the model's sample rate: the first is held out, the last is sound alone."""
    (folder / "clips").mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    with (folder / "manifest.jsonl").open("w") as manifest:
        for i, text in enumerate(TEXTS):
            tensors = {"waveform": (torch.randn(round(FRAMES / 24 * RATE), generator=generator) * 3000).to(torch.int16)}
            save_file(tensors, folder / f"voice{i % 2}.safetensors")
            if i < len(TEXTS) - 1:
                picture = textures(1, FRAMES, (32, 32), generator)[0].permute(1, 2, 3, 0)
                tensors["frames"] = ((picture + 1) * 127.5).round().to(torch.uint8).contiguous()
            save_file(tensors, folder / "clips" / f"{i}.safetensors")
            line = {"id": f"c{i}", "split": "train" if i else "heldout", "file": f"clips/{i}.safetensors", "text": text, "speaker": "s"}
            line |= {"voice_file": f"voice{i % 2}.safetensors"} | ({} if rate is None else {"sample_rate": rate})
            manifest.write(json.dumps(line) + "\n")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Entries of a configuration: the public models' files, and a corpus."""
    folder = tmp_path_factory.mktemp("public")
    found = write_public_parts(folder)
    write_corpus(folder / "corpus")
    return {**{public.ENTRIES[part]: str(file) for part, file in found.items()}, "corpus": str(folder / "corpus")}


@pytest.fixture(autouse=True)
def preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "narrow-10b", full_shaped)


def write_config(folder: Path, files: dict[str, str], **values: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stage = {"batch": 2, "lr": 1e-2, "warmup": 1, "steps": 2, "optimizer": "adamw", "drop_text": 0.5}
    raw = {
        "model": "narrow-10b", **files, "run": str(folder / "run"), "export": str(folder / "made.safetensors"),
        "precision": "fp32", "device": "cpu", "log_every": 1,
        "stages": [{"name": "voice", "tasks": {"T2A": 1}, **stage}, {"name": "talk", "tasks": {"TIR2AV": 2, "TV2A": 1}, **stage}],
    }  # fmt: skip
    path = folder / "config.json"
    path.write_text(json.dumps({**raw, **values}))
    return path


def test_from_a_corpus_to_a_clip(files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the commands; stopped and resumed it is the same run, which needs none of the public models again."""
    assert cli.main(["train", str(write_config(tmp_path / "whole", files, sample_every=4, sample_clips=1))]) == 0
    config = write_config(tmp_path / "parts", files)
    assert cli.main(["train", str(config), "--only", "latents"]) == 0
    assert sorted(path.name for path in (tmp_path / "parts" / "run").iterdir()) == ["latents"]
    with monkeypatch.context() as patch:
        patch.setattr(public, "load_part", None)
        assert cli.main(["train", str(config), "--until", "3"]) == 0
        assert cli.main(["train", str(config)]) == 0
    whole, parts = (load_file(tmp_path / name / "made.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(value, parts[key]) for key, value in whole.items())
    first = Learner(full_shaped())
    assert set(whole) == set(first.transformer.state_dict())
    assert (tmp_path / "whole" / "run" / "samples" / "4" / "c0.mp4").exists()
    made = checkpoint.read_config(tmp_path / "parts" / "made.safetensors")
    assert made == full_shaped()
    out = tmp_path / "clip.mp4"
    named = [f"--{entry.replace('_', '-')}={files[entry]}" for entry in public.ENTRIES.values()]
    told = ["--checkpoint", str(tmp_path / "parts" / "made.safetensors"), *named, "--out", str(out), "--seconds", "0.375", "--steps", "2"]
    assert cli.main(["generate", "seven bright birds", *told]) == 0
    assert out.stat().st_size > 1000


def batches(store: LatentStore, drop_text: float) -> Batches:
    model = full_shaped()
    stage = Stage("talk", steps=1, batch=3, lr=0, tasks={"TIR2AV": 1}, drop_text=drop_text)
    return Batches(store, stage, 0, model.timeline, model.audio.max_voice_tokens, None)


def test_the_model_reads_what_the_text_encoder_writes(files: dict[str, str], tmp_path: Path) -> None:
    """A text comes once; a dropped one is the empty prompt; sound is resampled; pictures and sound have the shapes of a clip."""
    main([str(write_config(tmp_path, files)), "--only", "latents"])
    store = LatentStore(tmp_path / "run" / "latents")
    start = checkpoint.Checkpoint(Path("narrow"), full_shaped(), {})
    encoder = load_part(start, checkpoint.TEXT_ENCODER, files["text_encoder"])
    learner, lines = Learner(full_shaped()), (tmp_path / "run" / "latents" / "prompt.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["", *dict.fromkeys(TEXTS)]
    batch, dropped = (batches(store, drop_text).draw(0).to("cpu") for drop_text in (0.0, 1.0))
    assert batch.text.shape == (3, int(batch.lengths.max()), 32)
    said = [entry.text for entry in batches(store, 0.0).clips_with_video[0].draw(0)]
    torch.testing.assert_close(learner.encode_text(batch), encoder.encode(said).float(), atol=1e-6, rtol=2**-7)
    assert torch.equal(learner.encode_text(dropped), encoder.encode([""]).float().expand(3, -1, -1))
    assert store.audio(store.entries[0]).shape == (40, -(-round(FRAMES / 24 * 44100) // 1024))
    assert store.video(store.entries[0]).shape == (48, 3, 2, 2)


def test_shards_carry_the_encoded_texts(files: dict[str, str], tmp_path: Path) -> None:
    """Batches are those of the store, and a run needs no file of a public model."""
    main([str(write_config(tmp_path, files)), "--only", "latents"])
    store = LatentStore(tmp_path / "run" / "latents")
    write_shards(store, tmp_path / "shards", samples=2)
    sharded = open_latents(tmp_path / "shards")
    for name, value in vars(batches(sharded, 0.5).draw(3)).items():
        found = getattr(batches(store, 0.5).draw(3), name)
        assert torch.equal(value, found) if isinstance(value, torch.Tensor) else value == found, name
    alone = write_config(tmp_path / "sharded", {"corpus": "", "latents": str(tmp_path / "shards")})
    main([str(alone)])
    assert checkpoint.load(tmp_path / "sharded" / "made.safetensors").config == full_shaped()
    (tmp_path / "shards" / "empty_prompt.npy").unlink()
    with pytest.raises(LatentsError, match=r"shards lacks empty_prompt\.npy"):
        main([str(write_config(tmp_path / "again", {"corpus": "", "latents": str(tmp_path / "shards")}))])


def test_one_store_is_of_one_set_of_models(files: dict[str, str], tmp_path: Path) -> None:
    """What is asked of a store with everything in it is nothing; a new clip shows that a file is another."""
    corpus = tmp_path / "corpus"
    write_corpus(corpus)
    whole = (corpus / "manifest.jsonl").read_text()
    (corpus / "manifest.jsonl").write_text("".join(whole.splitlines(keepends=True)[:3]))
    here = {**files, "corpus": str(corpus)}
    main([str(write_config(tmp_path, here)), "--only", "latents"])
    other = load_file(files["text_encoder"])
    save_file({**other, "encoder.final_layer_norm.weight": other["encoder.final_layer_norm.weight"] * 2}, tmp_path / "other.safetensors")
    config = write_config(tmp_path, {**here, "text_encoder": str(tmp_path / "other.safetensors")})
    main([str(config), "--only", "latents"])
    (corpus / "manifest.jsonl").write_text(whole)
    with pytest.raises(LatentsError, match=r"the prompt latents in .* were made by another text encoder"):
        main([str(config), "--only", "latents"])


def test_what_does_not_fit_is_told_before_anything_is_made(files: dict[str, str], tmp_path: Path) -> None:
    def refused(values: dict[str, Any], match: str, error: type[Exception] = ConfigError, **rest: Any) -> None:
        with pytest.raises(error, match=match):
            main([str(write_config(tmp_path, {**files, **values}, **rest)), *(["--only", rest.pop("only")] if "only" in rest else [])])
        assert not (tmp_path / "run" / "latents").exists()

    refused({"vae": ""}, r"'tiny' has a public video codec, 'wan2\.2-vae': set 'vae' to its file, or 'latents' to latents that are ready")
    refused({"text_encoder": ""}, "a public text encoder, 'umt5-xxl': set 'text_encoder'")
    refused({"audio_codec": str(tmp_path / "nowhere.safetensors")}, "'audio_codec' names .*nowhere.safetensors, which is not there")
    refused({"model": "nano"}, "'text_encoder' names .*, and the text encoder of 'nano' is learned")
    write_corpus(tmp_path / "untold", rate=None)
    untold = (
        r"clips/0\.safetensors: 0\.38 s: 9 frames at 24 fps, has 16538 samples at 44100 Hz, this one 8269; where the sound has another rate"
    )
    refused({"corpus": str(tmp_path / "untold")}, untold, CorpusError)
    with pytest.raises(ConfigError, match="the codecs of 'tiny' are public models; there is nothing to learn"):
        main([str(write_config(tmp_path, files)), "--only", "video-codec"])


def test_texts_are_not_encoded_without_need(files: dict[str, str], tmp_path: Path) -> None:
    """Ready latents without prompts are refused, with the way out."""
    main([str(write_config(tmp_path, files)), "--only", "latents"])
    (tmp_path / "run" / "latents" / "prompt.jsonl").unlink()
    with pytest.raises(LatentsError, match=r"4 of 4 clips come without encoded prompts, the first is c1; .* with 'text_encoder'"):
        main([str(write_config(tmp_path / "next", {"corpus": "", "latents": str(tmp_path / "run" / "latents")}))])


def test_a_learned_text_encoder_keeps_its_ids(tmp_path: Path) -> None:
    """The seam's other side, next to the first: nano's encoder is part of the learner, UMT5 is not."""
    assert Learner(full_shaped()).text_encoder is None
    nano = dataclasses.replace(full_shaped(), text=dataclasses.replace(full_shaped().text, encoder="nano-text", options={}))
    assert list(Learner(nano).parts()) == ["transformer", "text_encoder"]
    assert tiny_umt5.OPTIONS["text_dim"] == full_shaped().transformer.text_dim
