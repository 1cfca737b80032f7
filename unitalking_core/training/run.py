"""A whole run from its configuration: learn or read the codecs, encode the corpus, train the stages, ship the averaged weights."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from .. import checkpoint
from ..codecs import NanoAudioCodec, NanoVideoCodec
from ..config import AudioConfig, ConfigError, ModelConfig, VideoConfig
from ..tasks import TASKS, Given
from .batches import HELD_OUT
from .codecs import fit_audio_codec, fit_video_codec, polish_video_decoder
from .config import Stage, TrainingConfig
from .corpus import read_clip_pixels, read_clip_sound, read_manifest, read_voice
from .latents import LatentStore, encode_pictures, encode_sounds
from .trainer import Trainer

logger = logging.getLogger(__name__)
AUDIO_CODEC, VIDEO_CODEC = "audio_codec.safetensors", "video_codec.safetensors"


def run(config: TrainingConfig, only: str | None = None) -> bool:
    """Do what the configuration says, or what is left of it. False when the training was stopped before its end. Raises ConfigError.

    `only` one of "audio-codec" and "video-codec" stops after learning it; "video-decoder" goes on with the decoder of a run that has one.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    if only and config.codecs_from:
        raise ConfigError(f"this run takes its codecs from {config.codecs_from}; learn them there")
    folder, corpus = _codec_folder(config), Path(config.corpus)
    if only == "video-codec":
        _video_codec(config)
        return True
    if only == "video-decoder":
        codec, video = _video_codec(config)
        polish_video_decoder(codec, video, _training_clips(config), config.codecs, config.seed, logger.info)
        model = dataclasses.replace(config.preset(), video=video)
        checkpoint.save(folder / VIDEO_CODEC, model, {checkpoint.VIDEO_CODEC: codec.state_dict()})
        return True
    audio_codec, audio = _audio_codec(config)
    if only == "audio-codec":
        return True
    model = dataclasses.replace(config.preset(), audio=audio)

    def open_store(stage: Stage) -> LatentStore:
        if config.codecs_from:
            return LatentStore(folder / "latents")
        logger.info("encoded %d new recordings", encode_sounds(folder / "latents", corpus, audio_codec, audio))
        if any(TASKS[name].video is not Given.ABSENT for name in stage.tasks):
            video_codec, video = _video_codec(config)
            logger.info("encoded %d new clips", encode_pictures(folder / "latents", corpus, video_codec, video))
        return LatentStore(folder / "latents")

    def export(average: Mapping[str, Tensor], steps: int) -> None:
        if not (folder / VIDEO_CODEC).is_file():
            logger.info("nothing shipped after %d steps: there is no video codec yet", steps)
            return
        video_codec, video = _video_codec(config)
        codecs = {checkpoint.VIDEO_CODEC: video_codec.state_dict(), checkpoint.AUDIO_CODEC: audio_codec.state_dict()}
        ship(config.export, dataclasses.replace(model, video=video), average, codecs)
        logger.info("shipped %s after %d steps", config.export, steps)

    return Trainer(config, model, open_store, export).run()


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
    path, model = _codec_folder(config) / AUDIO_CODEC, config.preset()
    if path.is_file():
        model, state = _read(path)
        codec = NanoAudioCodec(model.audio)
        checkpoint.load_into(codec, state, "audio codec")
        return codec.eval(), model.audio
    corpus = Path(config.corpus)
    items = [item for item in read_manifest(corpus) if item.split != HELD_OUT]
    sounds = [read_clip_sound(corpus, item) for item in items] + [
        read_voice(corpus, voice) for voice in sorted({i.voice_file for i in items})
    ]
    logger.info("audio codec: %d recordings", len(sounds))
    codec, audio = fit_audio_codec(model.audio, sounds, config.codecs, config.seed, logger.info)
    checkpoint.save(path, dataclasses.replace(model, audio=audio), {checkpoint.AUDIO_CODEC: codec.state_dict()})
    return codec, audio


def _video_codec(config: TrainingConfig) -> tuple[NanoVideoCodec, VideoConfig]:
    """Read the run's video codec; learn it first where there is none."""
    path, model = _codec_folder(config) / VIDEO_CODEC, config.preset()
    if path.is_file():
        model, state = _read(path)
        codec = NanoVideoCodec(model.video)
        checkpoint.load_into(codec, state, "video codec")
        return codec.eval(), model.video
    codec, video = fit_video_codec(model.video, _training_clips(config), config.codecs, config.seed, logger.info)
    checkpoint.save(path, dataclasses.replace(model, video=video), {checkpoint.VIDEO_CODEC: codec.state_dict()})
    return codec, video


def _training_clips(config: TrainingConfig) -> Tensor:
    """Frames (N, F, H, W, 3) uint8 of the first clips of the corpus that are not held out."""
    corpus, clips = Path(config.corpus), []
    for item in read_manifest(corpus):
        if item.split != HELD_OUT and (pixels := read_clip_pixels(corpus, item)) is not None:
            clips.append(pixels)
        if len(clips) == config.codecs.video_clips:
            break
    logger.info("video codec: %d clips", len(clips))
    return torch.stack(clips)


def _read(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """A file with one codec: the configuration and the codec's weights."""
    with safe_open(path, framework="pt") as file:
        state = {checkpoint.split_key(key)[1]: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  it is no dictionary
        return ModelConfig.from_metadata(file.metadata()), state


def ship(path: str, model: ModelConfig, average: Mapping[str, Tensor], codecs: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write the averaged weights and the codecs as one checkpoint in half precision."""
    split = {
        checkpoint.TRANSFORMER: {k.removeprefix("transformer."): v for k, v in average.items() if k.startswith("transformer.")},
        checkpoint.TEXT_ENCODER: {k.removeprefix("text_encoder."): v for k, v in average.items() if k.startswith("text_encoder.")},
        **codecs,
    }
    half = {part: {k: v.half() if v.is_floating_point() else v for k, v in state.items()} for part, state in split.items()}
    checkpoint.save(path, model, half)
