"""The loss on voices: the network that tells them apart, what it is zero for, whom it teaches, and that a run with it can be resumed."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor
from training.toy import MODEL, TALK, VOICE, toy_batches, toy_config, toy_learner, write_store

from unitalking_core.config import ConfigError, SamplingConfig
from unitalking_core.flow import Guidance, uniform_sigmas
from unitalking_core.generate import Pipeline
from unitalking_core.sampling import sample
from unitalking_core.tasks import TASKS
from unitalking_core.training import likeness as module
from unitalking_core.training.batches import Batch
from unitalking_core.training.latents import LatentStore
from unitalking_core.training.likeness import Likeness, LikenessError, known_by_heart, voices_of
from unitalking_core.training.objective import checkpointed
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
    near = torch.nn.functional.one_hot(torch.tensor([0]), 96) * 0.8 + torch.nn.functional.one_hot(torch.tensor([1]), 96) * 0.6
    expected = module.RIVALS * math.log1p(math.exp(-0.2 * module.SHARPNESS))
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
        for row, sound in zip(voice, wanted, strict=True):
            guests = [name for name, said in likeness.guests.items() if any(row[0, 0] in recording[0] for recording in said)]
            assert len(guests) == share
            if guests:
                assert torch.equal(sound, likeness.encoder.voice_of(likeness.guests[guests[0]]))


@pytest.mark.parametrize("name", ["T2A", "TIR2AV"])
def test_it_samples_as_users_do(name: str, tmp_path: Path) -> None:
    """Walked to its end, what is listened to is what `sample` makes of the same noise."""
    task, stage = TASKS[name], dataclasses.replace(TALK, tasks={name: 1}, drop_text=0, drop_voice=0, drop_cross=0)
    learner, batch = toy_learner(), toy_batches(tmp_path, stage).draw(0).to("cpu").rows([0, 1])
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    assert learner.text_encoder is not None
    texts = ["<S>word 1<E> man", "<S>word 2<E> man"]
    pipeline = Pipeline(GUIDED, learner.transformer, learner.text_encoder, None, None, torch.device("cpu"))  # type: ignore[arg-type]
    guidance = Guidance.of(GUIDED.sampling).without_sync()
    options = {"seeds": [3, 4], "steps": module.STEPS, "guidance": guidance}
    _, wanted = sample(pipeline, task, texts, batch.video, batch.audio, batch.voice, **options)  # type: ignore[arg-type]
    video, noises = None, []
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    for like in [batch.audio] if batch.video is None else [batch.video, batch.audio]:
        noises.append(torch.stack([torch.randn(like.shape[1:], generator=generator) for generator in generators]))
    *shown, audio = noises
    video = shown[0] if shown else None
    text = learner.text_encoder.encode(texts)
    speaker = module._Speaker(learner.transformer, GUIDED.sampling, text, batch.voice, batch, learner._attend(batch), None)
    with torch.no_grad():
        for s, following in pairwise(uniform_sigmas(module.STEPS, GUIDED.sampling.shift).tolist()):
            picture, sound = speaker.velocities(video, audio, s)
            audio = audio + (following - s) * sound
            video = None if video is None or picture is None else video + (following - s) * picture
    torch.testing.assert_close(audio, wanted, rtol=1e-4, atol=1e-4)


def test_rows_that_make_no_voice_count_nothing(tmp_path: Path) -> None:
    stage = dataclasses.replace(TALK, tasks={"TIR2AV": 1, "TI2AV": 1, "A2V": 1, "continuation": 1}, drop_cross=0)
    learner, batch = toy_learner(), toy_batches(tmp_path, stage).draw(1).to("cpu")
    likeness = toy_likeness()
    _, far = likeness.loss(learner.transformer, learner.encode_text(batch), batch, learner._attend(batch))
    assert 0 < batch.tasks.count("TIR2AV") < len(batch.tasks)
    assert [distance > 0 for distance in far.tolist()] == [task == "TIR2AV" for task in batch.tasks]
    others = batch.rows([i for i, task in enumerate(batch.tasks) if task != "TIR2AV"])
    loss, far = likeness.loss(learner.transformer, learner.encode_text(others), others, learner._attend(others))
    assert loss.item() == 0
    assert not far.any()


def test_blocks_that_are_computed_again_give_the_same_gradient(tmp_path: Path) -> None:
    batch, gradients = speech(tmp_path), []
    for run_block in (None, checkpointed):
        learner = toy_learner()
        learner.likeness, learner.run_block = toy_likeness(), run_block
        learner(batch, like=1.0).total.backward()
        gradients.append([p.grad for p in learner.parameters() if p.grad is not None])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain)


def test_half_precision_teaches_the_same_weights(tmp_path: Path) -> None:
    batch, found = speech(tmp_path), []
    for precision in (torch.float32, torch.bfloat16):
        learner = toy_learner()
        likeness = toy_likeness()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            text = learner.encode_text(batch)
            loss, far = likeness.loss(learner.transformer, text, batch, learner._attend(batch))
        loss.backward()
        taught = {name for name, p in learner.named_parameters() if p.grad is not None and p.grad.any()}
        found.append((loss.item(), taught, far))
    assert found[1][0] == pytest.approx(found[0][0], rel=0.1)
    assert found[1][1] == found[0][1]
    assert found[1][2].dtype == torch.float32


def test_following_it_brings_the_voice_nearer(tmp_path: Path) -> None:
    learner, batch = toy_learner(), speech(tmp_path)
    learner.likeness = toy_likeness(known=torch.zeros(0, 96))
    optimizer = torch.optim.Adam(learner.transformer.audio.parameters(), 3e-3)

    def far() -> Tensor:
        assert learner.likeness is not None
        return learner.likeness.loss(learner.transformer, learner.encode_text(batch), batch, learner._attend(batch))[0]

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
    other = dataclasses.replace(GUIDED, audio=dataclasses.replace(GUIDED.audio, std=(2.0,) * 3))
    with pytest.raises(LikenessError, match="made by another codec; remove it"):
        Likeness.load(tmp_path / "likeness.safetensors", other)
    (tmp_path / "likeness.safetensors").write_text("no weights")
    with pytest.raises(LikenessError, match=r"cannot be read.*remove it"):
        Likeness.load(tmp_path / "likeness.safetensors", GUIDED)


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
    told = [json.loads(line) for line in (tmp_path / "whole" / "losses.jsonl").read_text().splitlines()]
    assert all(0 < line["T2A.likeness"] < 2 for line in told)
    for name, value in whole.learner.state_dict().items():
        assert torch.equal(value, resumed.learner.state_dict()[name]), name


def test_it_needs_a_corpus(tmp_path: Path) -> None:
    config = toy_config(tmp_path, dataclasses.replace(VOICE, like=0.3))
    with pytest.raises(ConfigError, match="needs a corpus, not latents alone"):
        Trainer(config, MODEL, lambda _: write_store(tmp_path / "latents"), lambda average, steps: None)
    with pytest.raises(ConfigError, match="like must not be negative"):
        dataclasses.replace(VOICE, like=-0.3)
