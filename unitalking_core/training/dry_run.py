"""What a run would train and need, before it is begun: the model is built on the meta device, where weights take no memory.

Memory is that of one process of N that share every parameter (`distributed`), in bytes, for P parameters of which T are trained:

- weights 4 P / N (kept in float32; with `keep` 4 T more, as they were at the start), averages 4 P / N, gradients 4 T / N (float32, as they
  are summed);
- optimiser: AdamW 8 T / N (two float32 moments), Muon 4 T / N (one) for the matrices it takes;
- gathered: whole weights in the training precision for the time of their use: everything outside blocks, and two blocks of each stream
  that the stage runs (the one at work and the one that is fetched ahead);
- activations, for R rows of the model's own clip, b bytes a value (2 in bf16, 4 in fp32). A block keeps for the way back, of every token
  of a stream, 23 values of the width D (inputs of the norms, projections, attentions and gates) and 2 of the ffn's width F; of every token
  of text and voice, 3 D (keys before and after their norm, values). With all tokens L and conditions C of the streams in use and M blocks:
  plain R b M (L (23 D + 2 F) + 3 C D); with checkpoints R b (M L D + L (23 D + 2 F) + 3 C D), the blocks' inputs and one block made again;
  twice as much where `like` keeps a second pass.

The activations are an estimate (tested against what autograd saves in a small model): embeddings, heads, the loss and what the allocator
wastes are left out, and attention is taken to be fused, keeping no scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from .. import checkpoint
from ..codecs import LEARNED as CODECS_LEARNED
from ..conditions.text import LEARNED, build_text_encoder
from ..config import ModelConfig
from ..presets import PRESETS
from ..tasks import TASKS, Given
from ..timeline import Clip
from ..transformer import UniTalkingTransformer
from .config import Stage, TrainingConfig
from .distributed import shards
from .lora import adapted_layers
from .optimizers import takes_muon

PARTS = ("video stream", "audio stream", "text", "voice layers", "adapters")
KEPT_OF_WIDTH, KEPT_OF_FFN, KEPT_OF_CONDITIONS = 23, 2, 3
GIB = 2**30


@dataclass(frozen=True)
class Weight:
    """One parameter: its name in a checkpoint, values, part of the model, and whether Muon would take it."""

    name: str
    values: int
    part: str
    matrix: bool


@dataclass(frozen=True)
class Memory:
    """Bytes in one process; activations without and with checkpointed blocks."""

    weights: float
    gradients: float
    optimizer: float
    average: float
    gathered: float
    activations: float
    checkpointed: float

    @property
    def kept(self) -> float:
        """What is there all the time."""
        return self.weights + self.gradients + self.optimizer + self.average


def describe(config: TrainingConfig, ranks: int) -> str:
    """The dry run in words: per stage the parameters, what is trained of each part, and the memory of one process of `ranks`."""
    model = checkpoint.read_config(config.start) if Path(config.start).is_file() else PRESETS[config.model]()
    transformer = UniTalkingTransformer(model, device="meta")
    clip = model.timeline.clip(model.sampling.seconds)
    lines = [
        f"{model.name}: a clip of {model.video.width}x{model.video.height}, {clip.describe()}, "
        f"is {_video_tokens(model)} video and {clip.audio_tokens} audio tokens"
    ]
    lines += _describe_latents(config, model, clip)
    for stage in config.stages:
        lines += ["", *_describe_stage(config, stage, model, transformer, ranks)]
    return "\n".join(lines)


def _describe_latents(config: TrainingConfig, model: ModelConfig, clip: Clip) -> list[str]:
    """What encodes the corpus, where that is read from, and how large it comes out (float16)."""
    if config.latents:
        return [f"latents are ready: {config.latents}"]
    cells = (model.video.height // model.video.spatial_stride) * (model.video.width // model.video.spatial_stride)
    kept = {
        "video": (model.video.codec, config.vae, model.video.channels * clip.video_latents * cells, "clip"),
        "sound": (model.audio.codec, config.audio_codec, model.audio.channels * clip.audio_tokens, "clip"),
        "text": (model.text.encoder, config.text_encoder, model.text.tokens * model.transformer.text_dim, "prompt, at most"),
    }
    learned = (*CODECS_LEARNED, *LEARNED)
    lines = ["encoded once"]
    for what, (name, file, values, of) in kept.items():
        if name not in LEARNED:
            lines.append(
                f"  {what:<6}{2 * values / 1e6:>7.2f} MB a {of}, by {name}, {'learned' if name in learned else file or 'no file named'}"
            )
    return lines


def _describe_stage(config: TrainingConfig, stage: Stage, model: ModelConfig, transformer: UniTalkingTransformer, ranks: int) -> list[str]:
    weights = list_weights(model, transformer, stage)
    precision = "fp32" if config.precision == "fp32" else "bf16"  # "auto" is bf16 on whatever is worth a plan
    memory = estimate_memory(model, stage, weights, ranks, precision, sharded=shards(config))
    rows = rows_of_one(stage, ranks)
    lines = [f"stage {stage.name}: {stage.steps} steps of {stage.accumulate} x {stage.batch} clips, {stage.optimizer}, lr {stage.lr:g}"]
    lines += [f"  tasks {', '.join(f'{name} {weight:g}' for name, weight in stage.tasks.items())}", "  parameters"]
    for part in (*PARTS, "all"):
        here = [w for w in weights if part in (w.part, "all")]
        if here:
            trained = [w for w in here if stage.trains(w.name)]
            values, learned = (sum(w.values for w in found) / 1e6 for found in (here, trained))
            counts = f"{values:>11.2f} M in {len(here):>4} tensors, trained {learned:>9.2f} M in {len(trained):>4}"
            lines.append(f"    {part:<13}{counts}")
    if model.text.encoder not in LEARNED:
        lines.append(f"    text is encoded by '{model.text.encoder}', which is not trained and not counted")
    lines.append(f"  memory of one process of {ranks}, {rows} row{'s' * (rows > 1)} at a time, {precision}")
    for name in ("weights", "gradients", "optimizer", "average"):
        lines.append(f"    {name:<13}{getattr(memory, name) / GIB:>8.2f} GiB")
    lines.append(f"    {'kept':<13}{memory.kept / GIB:>8.2f} GiB")
    lines.append(f"    {'gathered':<13}{memory.gathered / GIB:>8.2f} GiB for the time of its use")
    for name, value in (("activations", memory.activations), ("checkpointed", memory.checkpointed)):
        chosen = " (configured)" if config.checkpoint_activations == (name == "checkpointed") else ""
        total = (memory.kept + memory.gathered + value) / GIB
        lines.append(f"    {name:<13}{value / GIB:>8.2f} GiB, in all about {total:.1f} GiB{chosen}")
    return lines


def list_weights(model: ModelConfig, transformer: UniTalkingTransformer, stage: Stage) -> list[Weight]:
    """Every parameter of a run: the transformer's, a bundled text encoder's, and the stage's adapters."""
    named: list[tuple[str, torch.Tensor]] = list(transformer.named_parameters())
    if model.text.encoder in LEARNED:
        with torch.device("meta"):
            encoder = build_text_encoder(model.text, model.transformer.text_dim)
        named += [(f"text_encoder.{name}", parameter) for name, parameter in encoder.named_parameters()]
    weights = [Weight(name, p.numel(), _part(name), takes_muon(name, p)) for name, p in named]
    if stage.lora is not None:
        for name in adapted_layers(transformer, stage.lora):
            layer = transformer.get_submodule(name)
            assert isinstance(layer, nn.Linear)
            for side, width in (("A", layer.in_features), ("B", layer.out_features)):
                weights.append(Weight(f"{name}.lora_{side}", stage.lora.rank * width, "adapters", ".blocks." in f".{name}"))
    return weights


def estimate_memory(model: ModelConfig, stage: Stage, weights: list[Weight], ranks: int, precision: str, *, sharded: bool = True) -> Memory:
    """The formulas above; N is 1 where the processes do not share the weights."""
    size = 2 if precision == "bf16" else 4
    values = sum(w.values for w in weights)
    trained = [w for w in weights if stage.trains(w.name)]
    learned = sum(w.values for w in trained)
    one_moment = sum(w.values for w in trained if w.matrix and stage.optimizer == "muon")
    plain, checkpointed = _activations(model, stage)
    unit, sharing = rows_of_one(stage, ranks) * size, ranks if sharded else 1
    return Memory(
        weights=4 * (values + (learned if stage.keep else 0)) / sharing,
        gradients=4 * learned / sharing,
        optimizer=(8 * learned - 4 * one_moment) / sharing,
        average=4 * values / sharing,
        gathered=size * _gathered(weights, _runs_video(stage), model.transformer.layers) if sharing > 1 else 0,
        activations=unit * plain,
        checkpointed=unit * checkpointed,
    )


def rows_of_one(stage: Stage, ranks: int) -> int:
    """Rows that one process has of a batch."""
    return math.ceil(stage.batch / ranks)


def _activations(model: ModelConfig, stage: Stage) -> tuple[int, int]:
    """Values that one row keeps for the way back: without and with checkpointed blocks."""
    c, tokens, streams = model.transformer, model.timeline.clip(model.sampling.seconds).audio_tokens, 1
    if _runs_video(stage):
        tokens, streams = tokens + _video_tokens(model), 2
    conditions = streams * (model.text.tokens + model.audio.max_voice_tokens)
    block = tokens * (KEPT_OF_WIDTH * c.dim + KEPT_OF_FFN * c.ffn_dim) + KEPT_OF_CONDITIONS * conditions * c.dim
    passes = 2 if stage.like else 1
    return passes * c.layers * block, passes * c.layers * tokens * c.dim + block


def _gathered(weights: list[Weight], video: bool, layers: int) -> float:
    """Values outside blocks, and of two blocks of each stream in use."""
    outside = sum(w.values for w in weights if "blocks." not in w.name or w.name.startswith("text_encoder."))
    streams = ("blocks.", "audio.blocks.") if video else ("audio.blocks.",)
    inside = sum(w.values for w in weights if w.name.startswith(streams))
    return outside + min(2, layers) * inside / layers


def _runs_video(stage: Stage) -> bool:
    return any(TASKS[name].video is not Given.ABSENT for name, weight in stage.tasks.items() if weight > 0)


def _video_tokens(model: ModelConfig) -> int:
    """Tokens of the model's own clip."""
    latents = model.timeline.clip(model.sampling.seconds).video_latents
    t, h, w = model.transformer.video_patch
    rows, columns = (math.ceil(pixels // model.video.spatial_stride / p) for pixels, p in ((model.video.height, h), (model.video.width, w)))
    return math.ceil(latents / t) * rows * columns


def _part(name: str) -> str:
    if "voice" in name:
        return "voice layers"
    if "text_embedding." in name or name.startswith("text_encoder."):
        return "text"
    return "audio stream" if name.startswith("audio.") else "video stream"
