"""The loss on voices: the network that tells them apart, what it is zero for, whom it teaches, and that a run with it can be resumed."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path

import pytest
import torch
from torch import Tensor
from training.toy import MODEL, VOICE, toy_batches, toy_config, toy_learner, write_store

from unitalking_core.config import ConfigError, SamplingConfig
from unitalking_core.training import likeness as module
from unitalking_core.training.batches import Batch
from unitalking_core.training.latents import LatentStore
from unitalking_core.training.likeness import Likeness, known_by_heart, voices_of
from unitalking_core.training.run import ship
from unitalking_core.training.trainer import Trainer
from unitalking_core.training.voice_encoder import VoiceEncoder, learn_voice_encoder

GUIDED = dataclasses.replace(MODEL, sampling=SamplingConfig(shift=3.0, text_scale=2.0, voice_scale=3.0))


def people(count: int, seed: int = 0, recordings: int = 3) -> dict[str, list[Tensor]]:
    """Voices that are told by the mean of their channels."""
    generator = torch.Generator().manual_seed(seed)
    means = [torch.randn(3, 1, generator=generator) for _ in range(count)]
    return {
        f"p{seed}{i:03d}": [mean + 0.5 * torch.randn(3, 40, generator=generator) for _ in range(recordings)] for i, mean in enumerate(means)
    }


def toy_likeness(**changes: object) -> Likeness:
    torch.manual_seed(0)
    encoder = VoiceEncoder(3).eval().requires_grad_(False)
    known = known_by_heart(encoder, people(4, seed=1, recordings=6))
    return dataclasses.replace(Likeness(GUIDED, encoder, people(6), known), **changes)


def speech(folder: Path, **changes: object) -> Batch:
    stage = dataclasses.replace(VOICE, drop_text=0, drop_voice=0)
    return dataclasses.replace(toy_batches(folder, stage).draw(0), **changes).to("cpu")


def liked(likeness: Likeness, batch: Batch, seed: int = 0) -> Tensor:
    learner = toy_learner(seed)
    learner.likeness = likeness
    return learner(batch, like=1.0).total - learner(batch).total


def test_the_encoder_tells_voices_apart_that_it_never_met() -> None:
    told: list[str] = []
    encoder = learn_voice_encoder(people(60), 0, told.append, steps=60)
    assert "60 voices" in told[-1]
    others = people(20, seed=5)
    known = torch.stack([encoder.voice_of(said[:2]) for said in others.values()])
    heard = torch.stack([encoder.voice_of(said[2:]) for said in others.values()])
    torch.testing.assert_close(known.norm(dim=1), torch.ones(20))
    assert ((heard @ known.T).argmax(1) == torch.arange(20)).float().mean() > 0.8
    again = learn_voice_encoder(people(60), 0, told.append, steps=60)
    assert all(torch.equal(a, b) for a, b in zip(encoder.state_dict().values(), again.state_dict().values(), strict=True))


def test_one_voice_cannot_be_told_from_others() -> None:
    with pytest.raises(ValueError, match="nothing to tell apart"):
        learn_voice_encoder(people(1), 0, print)


def test_it_is_zero_where_every_voice_is_its_references(tmp_path: Path) -> None:
    class Deaf(VoiceEncoder):
        """To which all voices are one."""

        def forward(self, latents: Tensor) -> Tensor:
            return torch.nn.functional.one_hot(torch.zeros(len(latents), dtype=torch.long), 96).float()

    none = torch.zeros(0, 96)
    assert liked(toy_likeness(encoder=Deaf(3), known=none), speech(tmp_path)).item() == pytest.approx(0, abs=1e-6)
    # A voice that is known by heart and is the reference's own is no rival.
    assert liked(toy_likeness(encoder=Deaf(3), known=torch.eye(96)[:1]), speech(tmp_path)).item() == pytest.approx(0, abs=1e-4)
    near = torch.nn.functional.one_hot(torch.tensor([0]), 96) * 0.9 + torch.nn.functional.one_hot(torch.tensor([1]), 96) * 0.19**0.5
    expected = module.RIVALS * math.log1p(math.exp(-0.1 * module.SHARPNESS))
    assert liked(toy_likeness(encoder=Deaf(3), known=near), speech(tmp_path)).item() == pytest.approx(expected, rel=1e-3)


def test_it_is_drawn_from_the_batch_alone(tmp_path: Path) -> None:
    batch, likeness = speech(tmp_path), toy_likeness()
    assert liked(likeness, batch).item() == liked(likeness, batch).item()
    others = {liked(likeness, dataclasses.replace(batch, seed=seed)).item() for seed in range(4)}
    assert len(others) == 4


def test_guests_take_the_place_of_voices_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, likeness = speech(tmp_path), toy_likeness()
    for share in (0.0, 1.0):
        monkeypatch.setattr(module, "GUESTS", share)
        voice, wanted = likeness._references(batch, random.Random(0))
        assert voice.shape == batch.voice.shape
        assert wanted.shape == (len(voice), 96)
        assert [torch.equal(a, b) for a, b in zip(voice, batch.voice, strict=True)] == [not share] * len(voice)


def test_following_it_brings_the_voice_nearer(tmp_path: Path) -> None:
    learner, batch = toy_learner(), speech(tmp_path)
    learner.likeness = toy_likeness(known=torch.zeros(0, 96))
    optimizer = torch.optim.Adam(learner.transformer.audio.parameters(), 3e-3)

    def far() -> Tensor:
        assert learner.likeness is not None
        return learner.likeness.loss(learner.transformer, learner.encode_text(batch), batch, learner._attend(batch))

    before = far().item()
    for _ in range(30):
        optimizer.zero_grad()
        far().backward()
        optimizer.step()
    assert far().item() < 0.7 * before
    assert all(p.grad is None or not p.grad.any() for p in learner.likeness.encoder.parameters())


def test_it_is_written_and_read_whole(tmp_path: Path) -> None:
    likeness, batch = toy_likeness(), speech(tmp_path)
    likeness.save(tmp_path / "likeness.safetensors")
    read = Likeness.load(tmp_path / "likeness.safetensors", GUIDED)
    assert liked(read, batch).item() == liked(likeness, batch).item()
    assert [path.name for path in tmp_path.glob("likeness*")] == ["likeness.safetensors"]


def test_known_by_heart_are_those_who_say_much(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    voices = voices_of(store)
    assert list(voices) == ["s"]
    assert len(voices["s"]) == 2 * 9  # nine training clips, each with a reference of its own
    encoder = VoiceEncoder(3).eval()
    assert known_by_heart(encoder, voices).shape == (1, 96)
    assert known_by_heart(encoder, {"s": voices["s"][:4]}).shape == (0, 96)


def test_a_run_with_it_resumes_to_the_same_weights(tmp_path: Path) -> None:
    start, stage = (
        tmp_path / "start.safetensors",
        dataclasses.replace(VOICE, keep=1.0, like=0.5, optimizer="adamw", trainable=("audio\\.",)),
    )
    learner = toy_learner(seed=4)
    ship(str(start), MODEL, dict(learner.named_parameters()), {})

    def trainer(folder: Path) -> Trainer:
        folder.mkdir(exist_ok=True)

        def open_likeness(store: LatentStore) -> Likeness:
            return toy_likeness()

        config = toy_config(folder, stage, start=str(start), device="cpu")
        return Trainer(config, MODEL, lambda _: write_store(folder / "latents"), lambda average, steps: None, open_likeness=open_likeness)

    whole = trainer(tmp_path / "whole")
    assert whole.run()
    assert any(not torch.equal(whole.learner.state_dict()[name], value) for name, value in whole.learner.start.items())
    assert not trainer(tmp_path / "cut").run(until=2)
    resumed = trainer(tmp_path / "cut")
    assert resumed.run()
    for name, value in whole.learner.state_dict().items():
        assert torch.equal(value, resumed.learner.state_dict()[name]), name


def test_it_needs_speech_alone_and_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give the task T2A a weight"):
        dataclasses.replace(VOICE, tasks={"TI2AV": 1}, like=0.3)
    config = toy_config(tmp_path, dataclasses.replace(VOICE, like=0.3))
    with pytest.raises(ConfigError, match="needs the corpus itself"):
        Trainer(config, MODEL, lambda _: write_store(tmp_path / "latents"), lambda average, steps: None).run()
