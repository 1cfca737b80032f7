"""The dry run: counts against the public model's and against real training, memory by arithmetic, activations against autograd's."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest
import torch
from training.toy import MODEL, TALK, VOICE, toy_learner

from unitalking_core.codecs import build_audio_codec, build_video_codec
from unitalking_core.config import ConfigError, ModelConfig, TransformerConfig
from unitalking_core.presets import PRESETS
from unitalking_core.training.__main__ import main
from unitalking_core.training.conditions import conditions_for_training
from unitalking_core.training.config import LoraOptions, read_training_config
from unitalking_core.training.dry_run import GIB, describe, estimate_memory, list_weights
from unitalking_core.training.optimizers import build_optimizers
from unitalking_core.training.run import run
from unitalking_core.transformer import UniTalkingTransformer

CONFIGS = Path(__file__).parents[2] / "configs"
WAN_5B = 4_999_787_712
"""Parameters of Wan2.2-TI2V-5B (825 tensors), counted in its public file."""


def on_meta(model: ModelConfig) -> UniTalkingTransformer:
    return UniTalkingTransformer(model, device="meta")


def test_the_video_stream_of_10b_is_wan() -> None:
    started = time.monotonic()
    named = dict(on_meta(PRESETS["10b"]()).named_parameters())
    assert time.monotonic() - started < 30
    video = {name: p for name, p in named.items() if not name.startswith("audio.") and "voice" not in name}
    assert (len(video), sum(p.numel() for p in video.values())) == (825, WAN_5B)
    voice = 30 * (2 * (3072 * 3072 + 3072) + 3072)
    assert sum(p.numel() for name, p in named.items() if "_voice" in name and name.startswith("blocks.")) == voice


@pytest.mark.parametrize(("preset", "rate", "tokens"), [("10b", 43.06640625, 218), ("10b-16k", 31.25, 158)])
def test_10b_keeps_the_published_rates(preset: str, rate: float, tokens: int) -> None:
    model = PRESETS[preset]()
    clip = model.timeline.clip(model.sampling.seconds)
    assert float(model.timeline.token_rate) == rate
    assert (clip.frames, clip.video_latents, clip.audio_tokens) == (121, 31, tokens)
    assert model.size_step == 32
    assert ModelConfig.from_metadata(model.to_metadata()) == model


def test_codecs_that_are_not_here_are_named() -> None:
    model = PRESETS["10b"]()
    with pytest.raises(ConfigError, match=r"unknown video codec 'film'; this version can build nano-video, wan2\.2-vae"):
        build_video_codec(dataclasses.replace(model.video, codec="film"))
    with pytest.raises(ConfigError, match="unknown audio codec 'tape'; this version can build mmaudio-16k, mmaudio-44k, nano-audio"):
        build_audio_codec(dataclasses.replace(model.audio, codec="tape"))
    recipe = dataclasses.replace(read_training_config(CONFIGS / "10b" / "unitalking.json"), start="")
    with pytest.raises(ConfigError, match=r"'text_encoder' names models/text_encoders/umt5_xxl_fp16.safetensors, which is not there"):
        run(recipe)
    with pytest.raises(ConfigError, match=r"'10b' has a public video codec, 'wan2.2-vae': set 'vae' to its file"):
        run(dataclasses.replace(recipe, text_encoder=__file__, vae=""))


@pytest.mark.parametrize("stage", [VOICE, dataclasses.replace(TALK, optimizer="adamw")])
def test_counts_are_those_of_a_real_run(stage: object) -> None:
    """Weights, optimiser states and their sizes against a learner whose optimisers have made a step."""
    learner = toy_learner()
    optimizers = build_optimizers(learner, stage)
    for parameter in learner.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    for optimizer in optimizers:
        optimizer.step()
    weights = list_weights(MODEL, on_meta(MODEL), stage)
    assert {w.name for w in weights} == {name.removeprefix("transformer.") for name, _ in learner.named_parameters()}
    trained = {name.removeprefix("transformer."): p.numel() for name, p in learner.named_parameters() if p.requires_grad}
    assert {w.name: w.values for w in weights if stage.trains(w.name)} == trained
    states = [value for o in optimizers for state in o.state.values() for name, value in state.items() if name != "step"]
    memory = estimate_memory(MODEL, stage, weights, 1, "fp32")
    assert memory.optimizer == sum(value.nbytes for value in states)
    assert memory.weights == memory.average == sum(p.nbytes for p in learner.parameters())
    assert memory.gradients == 4 * sum(trained.values())
    shared = estimate_memory(MODEL, stage, weights, 4, "fp32")
    assert shared.kept == memory.kept / 4
    assert memory.gathered == 0 < shared.gathered <= memory.weights


def test_activations_are_what_autograd_keeps() -> None:
    """At a width that hides what the formula leaves out; within a fifth, counted as autograd saves tensors, each memory once."""
    model = dataclasses.replace(
        MODEL,
        transformer=TransformerConfig(layers=4, dim=128, heads=2, ffn_dim=448, text_dim=12, freq_dim=16),
        sampling=dataclasses.replace(MODEL.sampling, seconds=49 / 24),
    )
    transformer = UniTalkingTransformer(model)
    clip = model.timeline.clip(49 / 24)
    video, audio = torch.randn(1, 4, clip.video_latents, 4, 4), torch.randn(1, 3, clip.audio_tokens)
    kept: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in transformer.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    text, voice = torch.randn(1, model.text.tokens, 12), torch.randn(1, 3, model.audio.max_voice_tokens)
    t_video, t_audio = torch.full((1, clip.video_latents), 500.0), torch.full((1,), 500.0)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        conditions = conditions_for_training(transformer, text, voice, torch.ones(1), video=True)
        out = transformer(video, audio, t_video, t_audio, conditions)
    stage = dataclasses.replace(TALK, batch=1)
    memory = estimate_memory(model, stage, list_weights(model, transformer, stage), 1, "fp32")
    assert all(o is not None for o in out)
    assert sum(kept.values()) == pytest.approx(memory.activations, rel=0.2)
    inputs = 4 * (clip.audio_tokens + 4 * clip.video_latents) * 128 * 4
    assert memory.checkpointed == inputs + memory.activations / 4


def test_the_10b_recipe_in_words() -> None:
    config = read_training_config(CONFIGS / "10b" / "unitalking.json")
    text = describe(config, 8)
    voice, talk = text.split("\n\n")[1:]
    assert "27280 video and 218 audio tokens" in text
    assert "video stream     4977.76 M in  821 tensors, trained      0.00 M in    0" in voice
    assert "all             11150.79 M in 1958 tensors, trained   5574.93 M in  979" in voice
    assert "all             11150.79 M in 1958 tensors, trained  11150.79 M in 1958" in talk
    assert f"kept         {20 * 11_150_788_840 / 8 / GIB:>8.2f} GiB" in talk
    assert "'umt5-xxl', which is not trained" in talk
    assert "video   10.48 MB a clip, by wan2.2-vae, models/vae/wan2.2_vae.safetensors" in text
    assert "text     4.19 MB a prompt, at most, by umt5-xxl, models/text_encoders/" in text
    ready = describe(dataclasses.replace(config, latents="corpora/shards"), 8)
    assert "latents are ready: corpora/shards" in ready


def test_adapters_are_counted() -> None:
    stage = dataclasses.replace(TALK, lora=LoraOptions(4, 4, (r"^blocks\.0\.self_attn\.q$",)), optimizer="adamw")
    weights = list_weights(MODEL, on_meta(MODEL), stage)
    assert [(w.name, w.values) for w in weights if stage.trains(w.name)] == [
        ("blocks.0.self_attn.q.lora_A", 96),
        ("blocks.0.self_attn.q.lora_B", 96),
    ]


def test_the_command_line(capsys: pytest.CaptureFixture) -> None:
    main([str(CONFIGS / "nano" / "nano.json"), "--dry-run", "--ranks", "2"])
    out = capsys.readouterr().out
    assert out.startswith("nano: ")
    assert "memory of one process of 2, 256 rows at a time, bf16" in out


def test_shipped_configurations_are_recipes() -> None:
    voice, talk = read_training_config(CONFIGS / "10b" / "unitalking.json").stages
    assert (voice.batch * voice.accumulate, talk.batch * talk.accumulate) == (256, 64)
    assert voice.lr == talk.lr == 1e-5
    assert voice.betas == talk.betas == (0.9, 0.999)
    assert (voice.steps, talk.steps) == (100_000, 100_000)
    assert set(voice.tasks) == {"T2A"}
    assert set(talk.tasks) == {"T2AV", "TV2A", "TI2AV", "TR2AV"}
