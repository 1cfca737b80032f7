"""Latents in tar shards: the same samples as the store's, in the form that the webdataset package reads and writes."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from training.toy import MODEL, TALK, toy_config, toy_learner, write_store

from unitalking_core import checkpoint
from unitalking_core.config import ConfigError
from unitalking_core.training.batches import Batches
from unitalking_core.training.latents import LatentsError
from unitalking_core.training.run import run, ship
from unitalking_core.training.shards import ShardStore, open_latents, write_shards


def shards(folder: Path, samples: int = 4) -> tuple:
    store = write_store(folder / "store", 10, long=3)
    assert write_shards(store, folder / "shards", samples) == -(-13 // samples)
    return store, open_latents(folder / "shards")


def test_shards_hold_what_the_store_holds(tmp_path: Path) -> None:
    store, sharded = shards(tmp_path)
    assert isinstance(sharded, ShardStore)
    assert [e.id for e in sharded.entries] == [e.id for e in store.entries]
    for a, b in zip(store.entries, sharded.entries, strict=True):
        assert (a.split, a.text, a.speaker, a.video is None) == (b.split, b.text, b.speaker, b.video is None)
        assert torch.equal(store.audio(a), sharded.audio(b))
        assert torch.equal(store.voice(a), sharded.voice(b))
        assert a.video is None or torch.equal(store.video(a), sharded.video(b))


def test_batches_are_the_same(tmp_path: Path) -> None:
    encoder = toy_learner().text_encoder
    a, b = (Batches(store, TALK, 3, MODEL.timeline, MODEL.audio.max_voice_tokens, encoder) for store in shards(tmp_path))
    for step in (5, 0, 2):
        for name, value in vars(a.draw(step)).items():
            found = getattr(b.draw(step), name)
            assert torch.equal(value, found) if isinstance(value, torch.Tensor) else value == found, name


def test_the_index_follows_its_shard(tmp_path: Path) -> None:
    _, before = shards(tmp_path)
    index = tmp_path / "shards" / "shard-000001.index.jsonl"
    lines = index.read_text()
    index.unlink()
    assert open_latents(tmp_path / "shards").entries == before.entries
    assert index.read_text() == lines
    index.write_text("")
    os.utime(index, (0, 0))
    assert open_latents(tmp_path / "shards").entries == before.entries


def test_shards_are_plain_tar_files(tmp_path: Path) -> None:
    store, _ = shards(tmp_path)
    with tarfile.open(tmp_path / "shards" / "shard-000000.tar") as tar:
        kinds = ("json", "audio.npy", "voice.npy", "video.npy")
        assert tar.getnames()[:4] == [f"00000000.{kind}" for kind in kinds]
        values = np.load(io.BytesIO(tar.extractfile("00000003.video.npy").read()))
    assert values.dtype == np.float16
    assert np.array_equal(values, store.video(store.entries[3]).numpy())


def test_the_webdataset_package_reads_and_writes_them(tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset", reason="the webdataset package is not installed")
    store, sharded = shards(tmp_path)
    read = list(wds.WebDataset([str(path) for path in sharded.shards], shardshuffle=False).decode())
    assert [sample["json"]["id"] for sample in read] == [e.id for e in store.entries]
    for sample, entry in zip(read, store.entries, strict=True):
        assert np.array_equal(sample["audio.npy"], store.audio(entry).numpy())
        assert ("video.npy" in sample) == (entry.video is not None)
    (tmp_path / "written").mkdir()
    with wds.TarWriter(str(tmp_path / "written" / "a.tar")) as writer:
        for sample in read:
            writer.write({name: value for name, value in sample.items() if not name.startswith("__") or name == "__key__"})
    again = open_latents(tmp_path / "written")
    for entry, other in zip(store.entries, again.entries, strict=True):
        assert (entry.id, entry.text) == (other.id, other.text)
        assert torch.equal(store.voice(entry), again.voice(other))


def test_a_run_trains_from_shards(tmp_path: Path) -> None:
    shards(tmp_path)
    start, latents, out = (str(tmp_path / name) for name in ("start.safetensors", "shards", "out.safetensors"))
    learner = toy_learner(seed=5)
    ship(start, MODEL, dict(learner.named_parameters()), {})
    stage = dataclasses.replace(TALK, optimizer="adamw", steps=2)
    config = toy_config(tmp_path, stages=(stage,), start=start, latents=latents, export=out, device="cpu")
    assert run(config)
    made = checkpoint.load(out)
    assert made.config == MODEL
    # The run begins with the checkpoint's weights and moves them by about two steps of the rate.
    moved = made.part(checkpoint.TRANSFORMER)["blocks.0.ffn.0.weight"].float() - learner.transformer.blocks[0].ffn[0].weight
    assert 0 < moved.abs().max() < 4 * stage.lr
    with pytest.raises(ConfigError, match="name a 'start' whose codecs made these latents"):
        run(dataclasses.replace(config, start=""))


def test_wrong_shards_are_refused(tmp_path: Path) -> None:
    store, _ = shards(tmp_path)
    with pytest.raises(LatentsError, match="has shards already"):
        write_shards(store, tmp_path / "shards")
    with pytest.raises(LatentsError, match="no latents in"):
        open_latents(tmp_path)
    (tmp_path / "bad").mkdir()
    content = tmp_path / "bad" / "0.json"
    content.write_text(json.dumps({"id": "0", "split": "train", "text": "x"}))
    with tarfile.open(tmp_path / "bad" / "a.tar", "w") as tar:
        tar.add(content, "0.json")
    with pytest.raises(LatentsError, match=r"a\.tar: 0\.json lacks speaker"):
        open_latents(tmp_path / "bad")
    content.write_text(json.dumps({"id": "0", "split": "train", "text": "x", "speaker": "s"}))
    np.save(tmp_path / "bad" / "0.npy", np.zeros((3, 4), np.float32))
    with tarfile.open(tmp_path / "bad" / "a.tar", "w") as tar:
        tar.add(content, "0.json")
        tar.add(tmp_path / "bad" / "0.npy", "0.audio.npy")
    with pytest.raises(LatentsError, match=r"0\.audio\.npy is not a C-ordered float16 array"):
        open_latents(tmp_path / "bad")


def test_an_entry_knows_its_shard(tmp_path: Path) -> None:
    _, sharded = shards(tmp_path, samples=5)
    assert [dataclasses.asdict(e)["shard"] for e in sharded.entries] == [0] * 5 + [1] * 5 + [2] * 3
