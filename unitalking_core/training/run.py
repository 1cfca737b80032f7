"""A whole run from its configuration: learn or read the codecs, encode the corpus, train the stages, ship the averaged weights."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor, nn

from .. import checkpoint
from ..checkpoint import AUDIO_CODEC, TEXT_ENCODER, TRANSFORMER, VIDEO_CODEC
from ..conditions.text import build_text_encoder
from ..config import ConfigError, ModelConfig
from ..generate import Pipeline
from ..tasks import TASKS, Given
from ..transformer import UniTalkingTransformer
from .config import Stage, TrainingConfig
from .corpus import check_guests, check_rate, read_manifest
from .latents import Latents, LatentStore, encode_guests, encode_pictures, encode_prompts, encode_sounds
from .learned import codec_folder, learn, learns_codecs, video_codec
from .likeness import Likeness, known_by_heart, voices_of
from .lora import merge_adapters, save_adapters
from .public import public_parts, starting_point
from .samples import held_out, write_samples
from .shards import open_latents
from .trainer import Trainer, expected_device, uses_cpu
from .voice_encoder import learn_voice_encoder

logger = logging.getLogger(__name__)
LIKENESS = "likeness.safetensors"
ONLY = ("audio-codec", "video-codec", "video-decoder", "latents")


def run(config: TrainingConfig, only: str | None = None, until: int | None = None) -> bool:
    """Do what the configuration says, or what is left of it, `until` so many steps. False when it was stopped before its end.

    Raises ConfigError where the configuration does not fit what is there.

    `only` one of "audio-codec" and "video-codec" stops after learning it; "video-decoder" goes on with the decoder of a run that has one;
    "latents" stops when the corpus is encoded.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    start = starting_point(config)
    model, parts = start.config, public_parts(config, start)
    bundled = {part: state for part, state in start.parts.items() if part in parts or part in (VIDEO_CODEC, AUDIO_CODEC)}
    if config.latents:
        if only:
            raise ConfigError(f"this run's latents are ready ({config.latents}); there is nothing to learn or to encode")
        if learns_codecs(model) and not config.start:
            raise ConfigError(
                f"{config.latents}: the codecs of '{config.model}' are learned; name a 'start' whose codecs made these latents"
            )
        return Trainer(config, model, lambda stage: open_latents(Path(config.latents)), partial(_export, config, model, bundled)).run(until)
    if any(stage.like for stage in config.stages):
        check_guests(Path(config.corpus))
    if only and config.codecs_from:
        raise ConfigError(f"this run takes its codecs from {config.codecs_from}; learn them there")
    folder, corpus = codec_folder(config, model), Path(config.corpus)
    if own := learns_codecs(model):
        found = learn(config, start, only)
        if found is None:
            return True
        (_, video), (audio_codec, audio) = found
        # Both codecs come first: what they say of their latents (`VideoConfig.change`) is part of the model that is trained.
        model = dataclasses.replace(model, video=video, audio=audio)
        # The video codec is read anew whenever it is needed: its decoder may have been polished while the run went on.
        parts |= {AUDIO_CODEC: lambda: audio_codec, VIDEO_CODEC: lambda: video_codec(config, model)[0].to(expected_device(config))}
    elif only in ONLY[:3]:
        raise ConfigError(f"the codecs of '{model.name}' are public models; there is nothing to learn")
    elif not config.codecs_from:
        check_rate(corpus, read_manifest(corpus), model.timeline)

    def open_store(stage: Stage) -> Latents:
        if not config.codecs_from:
            video = any(_has_video(name) for name in stage.tasks)
            _encode(folder / "latents", corpus, model, parts, video=video, workers=config.workers)
        return LatentStore(folder / "latents")

    def open_likeness(store: Latents) -> Likeness:
        path = Path(config.run) / LIKENESS
        if not path.is_file():
            guests = encode_guests(corpus, parts[AUDIO_CODEC](), model.audio)
            people = voices_of(store)
            encoder = learn_voice_encoder({**people, **guests}, config.seed, logger.info)
            Likeness(model, encoder, guests, known_by_heart(encoder, people)).save(path)
        return Likeness.load(path, model)

    def export(average: Mapping[str, Tensor], steps: int) -> None:
        drawn = {part: parts[part]().state_dict() for part in (VIDEO_CODEC, AUDIO_CODEC)} if own else {}
        _export(config, model, {**bundled, **drawn}, average, steps)

    def sample(average: Mapping[str, Tensor], stage: Stage, steps: int) -> None:
        task = max(stage.tasks, key=lambda name: stage.tasks[name])
        if stage.lora is not None:
            average = merge_adapters(average, stage.lora)
        pipeline = averaged_pipeline(model, average, {part: load().cpu() for part, load in parts.items()})
        out = Path(config.run) / "samples" / str(steps)
        write_samples(pipeline, corpus, held_out(corpus, config.sample_clips, task), task, out)
        logger.info("samples of %s after %d steps: %s", task, steps, out)

    if only == "latents":
        with PartialState(cpu=uses_cpu(config)).main_process_first():
            for stage in config.stages:
                store = open_store(stage)
                if stage.like:
                    open_likeness(store)
        return True
    return Trainer(config, model, open_store, export, sample, open_likeness).run(until)


def _encode(folder: Path, corpus: Path, model: ModelConfig, parts: Mapping[str, Callable[[], Any]], *, video: bool, workers: int) -> None:
    """Bring the latents up to what the corpus has become. `parts` load what encodes; there is no text encoder where it learns."""
    logger.info("encoded %d new recordings", encode_sounds(folder, corpus, parts[AUDIO_CODEC], model.audio))
    if video:
        logger.info("encoded %d new clips", encode_pictures(folder, corpus, parts[VIDEO_CODEC], model.video, workers))
    if TEXT_ENCODER in parts:
        logger.info("encoded %d new prompts", encode_prompts(folder, corpus, parts[TEXT_ENCODER], model.text))


def _has_video(task: str) -> bool:
    return TASKS[task].video is not Given.ABSENT


def _export(config: TrainingConfig, model: ModelConfig, bundled: Mapping, average: Mapping[str, Tensor], steps: int) -> None:
    """Ship what was learned: the whole model, or the adapters alone."""
    lora = config.stages[0].lora
    if lora is None:
        ship(config.export, model, average, bundled)
    else:
        save_adapters(config.export, average, lora)
    logger.info("shipped %s after %d steps", config.export, steps)


def averaged_pipeline(model: ModelConfig, average: Mapping[str, Tensor], parts: Mapping[str, nn.Module]) -> Pipeline:
    """The model with its averaged weights, ready to generate on the CPU. `parts`: the codecs, and the text encoder if it does not learn."""
    trained = _parts(average)
    modules: dict[str, nn.Module] = {TRANSFORMER: UniTalkingTransformer(model, device="meta")}
    if TEXT_ENCODER in trained:
        modules[TEXT_ENCODER] = build_text_encoder(model.text, model.transformer.text_dim)
    for part, module in modules.items():
        checkpoint.load_into(module, {k: v.cpu() for k, v in trained[part].items()}, part)
        module.eval().requires_grad_(False)
    made: dict[str, Any] = {**parts, **modules}
    return Pipeline(model, made[TRANSFORMER], made[TEXT_ENCODER], made[VIDEO_CODEC], made[AUDIO_CODEC], torch.device("cpu"))


def _parts(average: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The averaged weights by the parts of a checkpoint."""
    split = {
        part: {k.removeprefix(f"{part}."): v for k, v in average.items() if k.startswith(f"{part}.")}
        for part in (TRANSFORMER, TEXT_ENCODER)
    }
    return {part: weights for part, weights in split.items() if weights}


def ship(path: str, model: ModelConfig, average: Mapping[str, Tensor], bundled: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write the averaged weights and the parts that come with them as one checkpoint in half precision."""
    split = {**_parts(average), **bundled}
    half = {part: {k: v.half() if v.is_floating_point() else v for k, v in state.items()} for part, state in split.items()}
    checkpoint.save(path, model, half)
