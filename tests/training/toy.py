"""A latent store of random clips and a model small enough to train in a test."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import IO

import torch

from unitalking_core.config import AudioConfig, ModelConfig, TextConfig, TransformerConfig, VideoConfig
from unitalking_core.training.batches import Batches
from unitalking_core.training.config import Stage, TrainingConfig
from unitalking_core.training.latents import LatentStore
from unitalking_core.training.objective import Learner

MODEL = ModelConfig(
    name="toy",
    transformer=TransformerConfig(layers=2, dim=24, heads=2, ffn_dim=32, text_dim=12, freq_dim=16),
    video=VideoConfig(codec="nano-video", channels=4, fps=24, width=64, height=64),
    audio=AudioConfig(codec="nano-audio", channels=3, sample_rate=16000, samples_per_token=640, max_voice_tokens=6),
    text=TextConfig(encoder="nano-text", tokens=16, options={"hidden": 16}),
)
VOICE = Stage("voice", steps=4, batch=4, lr=1e-3, tasks={"T2A": 1}, trainable=("audio\\.", "text_encoder\\."), warmup=1)
TALK = Stage(
    "talk", steps=4, batch=6, lr=1e-3, warmup=1,
    tasks={"T2AV": 1, "TI2AV": 1, "TR2AV": 1, "TIR2AV": 1, "TV2A": 1, "A2V": 1, "T2A": 1, "continuation": 1},
)  # fmt: skip


SHORT, LONG = (4, 14), (8, 31)
"""Video latents and audio tokens of the clips."""


def write_store(folder: Path, clips: int = 10, seed: int = 0, *, long: int = 0, speech: int = 0) -> LatentStore:
    """Short clips, of which the last has no video and the first is held out; then long ones; then short ones of speech alone."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    with (
        (folder / "audio.jsonl").open("w") as sounds,
        (folder / "video.jsonl").open("w") as pictures,
        (folder / "audio.bin").open("wb") as audio,
        (folder / "video.bin").open("wb") as video,
    ):

        def append(file: IO[bytes], *shape: int) -> list:
            offset = file.tell() // 2
            file.write(torch.randn(shape, generator=generator).half().numpy().tobytes())
            return [offset, shape]

        for i in range(clips + long + speech):
            latents, tokens = LONG if clips <= i < clips + long else SHORT
            line = {
                "id": f"c{i}",
                "split": "heldout" if not i else "train_audio" if i >= clips + long else "train",
                "text": f"<S>word {i}<E> man",
                "speaker": "s",
                "voice_file": f"v{i}",
            }
            sounds.write(json.dumps(line | {"audio": append(audio, 3, tokens), "voice": append(audio, 3, 8)}) + "\n")
            shown = i != clips - 1 and i < clips + long
            pictures.write(json.dumps({"id": f"c{i}", "video": append(video, 4, latents, 2, 2) if shown else None}) + "\n")
    return LatentStore(folder)


def toy_batches(folder: Path, stage: Stage, seed: int = 0, **clips: int) -> Batches:
    store = write_store(folder, **clips)
    return Batches(store, stage, seed, MODEL.timeline, MODEL.audio.max_voice_tokens, toy_learner().text_encoder)


def toy_learner(seed: int = 0, predicts: str = "velocity") -> Learner:
    torch.manual_seed(seed)
    return Learner(dataclasses.replace(MODEL, transformer=dataclasses.replace(MODEL.transformer, predicts=predicts)))


def toy_config(folder: Path, *stages: Stage, **values: object) -> TrainingConfig:
    base = TrainingConfig(
        model="nano",
        corpus="",
        run=str(folder),
        export="",
        stages=stages,
        precision="fp32",
        log_every=2,
        save_every=1000,
        export_every=1000,
    )
    return dataclasses.replace(base, **values)
