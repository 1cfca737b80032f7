"""A whole run from its configuration: learn or read the codecs, encode the corpus, train the stages, ship the averaged weights."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors import safe_open
from torch import Tensor

from .. import checkpoint
from ..codecs import AUDIO_CODECS, VIDEO_CODECS, NanoAudioCodec, NanoVideoCodec
from ..conditions.text import LEARNED, build_text_encoder
from ..config import AudioConfig, ConfigError, ModelConfig, VideoConfig
from ..generate import Pipeline
from ..tasks import TASKS, Given
from ..transformer import UniTalkingTransformer
from .batches import covered
from .codecs import Clips, fit_audio_codec, fit_video_codec, polish_video_decoder
from .config import Stage, TrainingConfig
from .corpus import in_training, read_clip_pixels, read_clip_sound, read_manifest, read_voice
from .latents import Latents, LatentStore, encode_pictures, encode_sounds
from .lora import merge_adapters, save_adapters
from .samples import held_out, write_samples
from .shards import open_latents
from .trainer import Trainer, uses_cpu

logger = logging.getLogger(__name__)
AUDIO_CODEC, VIDEO_CODEC = "audio_codec.safetensors", "video_codec.safetensors"


def run(config: TrainingConfig, only: str | None = None, until: int | None = None) -> bool:
    """Do what the configuration says, or what is left of it, `until` so many steps. False when it was stopped before its end.

    Raises ConfigError where the configuration does not fit what is there.

    `only` one of "audio-codec" and "video-codec" stops after learning it; "video-decoder" goes on with the decoder of a run that has one.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    model = _model(config)
    if model.text.encoder not in LEARNED:
        raise ConfigError(f"training cannot encode text with '{model.text.encoder}' yet; `--dry-run` shows what the run would need")
    if config.latents:
        parts = checkpoint.load(config.start).parts if config.start else {}
        codecs = {part: parts[part] for part in (checkpoint.VIDEO_CODEC, checkpoint.AUDIO_CODEC) if part in parts}
        ship_average = partial(_export, config, model, codecs)
        return Trainer(config, model, lambda stage: open_latents(Path(config.latents)), ship_average).run(until)
    if only and config.codecs_from:
        raise ConfigError(f"this run takes its codecs from {config.codecs_from}; learn them there")
    folder, corpus = _codec_folder(config), Path(config.corpus)
    if only == "video-codec":
        _video_codec(config)
        return True
    if only == "video-decoder":
        codec, video = _video_codec(config)
        polish_video_decoder(codec, video, _training_clips(config), config.codecs, config.seed, logger.info)
        model = dataclasses.replace(_model(config), video=video)
        checkpoint.save(folder / VIDEO_CODEC, model, {checkpoint.VIDEO_CODEC: codec.state_dict()})
        return True
    with PartialState(cpu=uses_cpu(config)).main_process_first():
        audio_codec, audio = _audio_codec(config)
    if only == "audio-codec":
        return True
    with PartialState(cpu=uses_cpu(config)).main_process_first():
        video_codec, video = _video_codec(config)
    # Both codecs come first: what they say of their latents (`VideoConfig.change`) is part of the model that is trained.
    model = dataclasses.replace(model, audio=audio, video=video)

    def open_store(stage: Stage) -> Latents:
        if config.codecs_from:
            return LatentStore(folder / "latents")
        logger.info("encoded %d new recordings", encode_sounds(folder / "latents", corpus, audio_codec, audio))
        if any(_has_video(name) for name in stage.tasks):
            logger.info("encoded %d new clips", encode_pictures(folder / "latents", corpus, video_codec, video))
        return LatentStore(folder / "latents")

    def export(average: Mapping[str, Tensor], steps: int) -> None:
        drawn = _video_codec(config)[0]  # read anew: its decoder may have been polished while the run went on
        codecs = {checkpoint.VIDEO_CODEC: drawn.state_dict(), checkpoint.AUDIO_CODEC: audio_codec.state_dict()}
        _export(config, model, codecs, average, steps)

    def sample(average: Mapping[str, Tensor], stage: Stage, steps: int) -> None:
        task = max(stage.tasks, key=lambda name: stage.tasks[name])
        if stage.lora is not None:
            average = merge_adapters(average, stage.lora)
        pipeline = averaged_pipeline(model, average, video_codec, audio_codec)
        out = Path(config.run) / "samples" / str(steps)
        write_samples(pipeline, corpus, held_out(corpus, config.sample_clips, task), task, out)
        logger.info("samples of %s after %d steps: %s", task, steps, out)

    return Trainer(config, model, open_store, export, sample).run(until)


def _has_video(task: str) -> bool:
    return TASKS[task].video is not Given.ABSENT


def _model(config: TrainingConfig) -> ModelConfig:
    """What is trained: the model of the checkpoint that the run starts from, or else of the preset. Its codecs come with it.

    Raises ConfigError when neither says how the run's latents are made.
    """
    if not config.start:
        model = config.preset()
        learned = VIDEO_CODECS.get(model.video.codec) is NanoVideoCodec and AUDIO_CODECS.get(model.audio.codec) is NanoAudioCodec
        if learned and config.latents:
            raise ConfigError(
                f"{config.latents}: the codecs of '{config.model}' are learned; name a 'start' whose codecs made these latents"
            )
        if not learned and not config.latents:
            raise ConfigError(
                f"'{config.model}' has codecs that are not learned here ({model.video.codec}, {model.audio.codec}): set 'latents'"
            )
        return model
    start = checkpoint.load(config.start)
    for name, part in ((AUDIO_CODEC, checkpoint.AUDIO_CODEC), (VIDEO_CODEC, checkpoint.VIDEO_CODEC)):
        path = Path(config.run) / name
        if part in start.parts and not path.is_file():
            checkpoint.save(path, start.config, {part: start.parts[part]})
    return start.config


def _export(config: TrainingConfig, model: ModelConfig, codecs: Mapping, average: Mapping[str, Tensor], steps: int) -> None:
    """Ship what was learned: the whole model, or the adapters alone."""
    lora = config.stages[0].lora
    if lora is None:
        ship(config.export, model, average, codecs)
    else:
        save_adapters(config.export, average, lora)
    logger.info("shipped %s after %d steps", config.export, steps)


def _codec_folder(config: TrainingConfig) -> Path:
    """Where the codecs and the latents are: in the run's own folder, or in that of another run, which is read only."""
    if not config.codecs_from:
        return Path(config.run)
    folder = Path(config.codecs_from)
    missing = [name for name in (AUDIO_CODEC, VIDEO_CODEC, "latents") if not (folder / name).exists()]
    if missing:
        raise ConfigError(f"codecs_from names {folder}, which has no {', no '.join(missing)}; train that run first")
    return folder


def _audio_codec(config: TrainingConfig) -> tuple[NanoAudioCodec, AudioConfig]:
    """Read the run's audio codec; learn it first where there is none."""
    path, model = _codec_folder(config) / AUDIO_CODEC, _model(config)
    if path.is_file():
        model, state = _read(path)
        codec = NanoAudioCodec(model.audio)
        checkpoint.load_into(codec, state, "audio codec")
        return codec.eval(), model.audio
    corpus = Path(config.corpus)
    items = [item for item in read_manifest(corpus) if in_training(item.split)]
    sounds = [read_clip_sound(corpus, item) for item in items] + [
        read_voice(corpus, voice) for voice in sorted({i.voice_file for i in items})
    ]
    logger.info("audio codec: %d recordings", len(sounds))
    codec, audio = fit_audio_codec(model.audio, sounds, config.codecs, config.seed, logger.info, _earlier_audio_codec(config, model.audio))
    checkpoint.save(path, dataclasses.replace(model, audio=audio), {checkpoint.AUDIO_CODEC: codec.state_dict()})
    return codec, audio


def _earlier_audio_codec(config: TrainingConfig, audio: AudioConfig) -> tuple[AudioConfig, dict[str, Tensor]] | None:
    """The sound's codec of the checkpoint that the run is warmed with, where it is of the same build."""
    if not config.warm_start:
        return None
    file = checkpoint.load(config.warm_start)
    earlier = file.config.audio
    same = (earlier.codec, earlier.channels, dict(earlier.options)) == (audio.codec, audio.channels, dict(audio.options))
    return (earlier, file.part(checkpoint.AUDIO_CODEC)) if same and checkpoint.AUDIO_CODEC in file.parts else None


def _video_codec(config: TrainingConfig) -> tuple[NanoVideoCodec, VideoConfig]:
    """Read the run's video codec; learn it first where there is none."""
    path, model = _codec_folder(config) / VIDEO_CODEC, _model(config)
    if path.is_file():
        model, state = _read(path)
        codec = NanoVideoCodec(model.video)
        checkpoint.load_into(codec, state, "video codec")
        return codec.eval(), model.video
    codec, video = fit_video_codec(model.video, _training_clips(config), config.codecs, config.seed, logger.info)
    checkpoint.save(path, dataclasses.replace(model, video=video), {checkpoint.VIDEO_CODEC: codec.state_dict()})
    return codec, video


def _training_clips(config: TrainingConfig) -> Clips:
    """The first clips of the corpus that are not held out, cut to as many frames as the shortest has."""
    corpus, clips, mouths = Path(config.corpus), [], []
    for item in read_manifest(corpus):
        if in_training(item.split) and (pixels := read_clip_pixels(corpus, item)) is not None:
            clips.append(pixels)
            mouths.append(covered(item.mouth_box, *pixels.shape[1:3]))
        if len(clips) == config.codecs.video_clips:
            break
    logger.info("video codec: %d clips", len(clips))
    shortest = min(len(clip) for clip in clips)
    return Clips(torch.stack([clip[:shortest] for clip in clips]), torch.stack(mouths))


def _read(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """A file with one codec: the configuration and the codec's weights."""
    with safe_open(path, framework="pt") as file:
        state = {checkpoint.split_key(key)[1]: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  it is no dictionary
        return ModelConfig.from_metadata(file.metadata()), state


def averaged_pipeline(
    model: ModelConfig, average: Mapping[str, Tensor], video_codec: NanoVideoCodec, audio_codec: NanoAudioCodec
) -> Pipeline:
    """The model with its averaged weights, ready to generate on the CPU, where the codecs are."""
    learned = _parts(average)
    transformer = UniTalkingTransformer(model, device="meta")
    text_encoder = build_text_encoder(model.text, model.transformer.text_dim)
    for module, part in ((transformer, checkpoint.TRANSFORMER), (text_encoder, checkpoint.TEXT_ENCODER)):
        checkpoint.load_into(module, {k: v.cpu() for k, v in learned[part].items()}, part)
        module.eval().requires_grad_(False)
    return Pipeline(model, transformer, text_encoder, video_codec, audio_codec, torch.device("cpu"))


def _parts(average: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The averaged weights by the parts of a checkpoint."""
    return {
        part: {k.removeprefix(f"{part}."): v for k, v in average.items() if k.startswith(f"{part}.")}
        for part in (checkpoint.TRANSFORMER, checkpoint.TEXT_ENCODER)
    }


def ship(path: str, model: ModelConfig, average: Mapping[str, Tensor], codecs: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write the averaged weights and the codecs as one checkpoint in half precision."""
    split = {**_parts(average), **codecs}
    half = {part: {k: v.half() if v.is_floating_point() else v for k, v in state.items()} for part, state in split.items()}
    checkpoint.save(path, model, half)
