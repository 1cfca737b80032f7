"""A latent store of random clips and a model small enough to train in a test."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

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


def write_store(folder: Path, clips: int = 10, seed: int = 0) -> LatentStore:
    """Clips of 4 latents of 2x2 and 11 tokens; the last one has no video, the first is held out."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    video, audio, offset = 4 * 4 * 2 * 2, 3 * 11, 3 * (11 + 8)
    torch.randn(clips * video, generator=generator).half().numpy().tofile(folder / "video.bin")
    torch.randn(clips * offset, generator=generator).half().numpy().tofile(folder / "audio.bin")
    with (folder / "audio.jsonl").open("w") as sounds, (folder / "video.jsonl").open("w") as pictures:
        for i in range(clips):
            line = {
                "id": f"c{i}",
                "split": "train" if i else "heldout",
                "text": f"<S>word {i}<E> man",
                "speaker": "s",
                "voice_file": f"v{i}",
            }
            line |= {"audio": [i * offset, [3, 11]], "voice": [i * offset + audio, [3, 8]]}
            sounds.write(json.dumps(line) + "\n")
            picture = None if i == clips - 1 else [i * video, [4, 4, 2, 2]]
            pictures.write(json.dumps({"id": f"c{i}", "video": picture}) + "\n")
    return LatentStore(folder)


def toy_batches(folder: Path, stage: Stage, seed: int = 0) -> Batches:
    encoder = toy_learner().text_encoder
    return Batches(write_store(folder), stage, seed, MODEL.audio.max_voice_tokens, encoder.batch, encoder.tokenize)


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
