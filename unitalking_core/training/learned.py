"""The codecs that a run learns from its corpus, each in a file of the run's folder."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors import safe_open
from torch import Tensor

from .. import checkpoint
from ..codecs import LEARNED, NanoAudioCodec, NanoVideoCodec
from ..config import AudioConfig, ConfigError, ModelConfig, VideoConfig
from .batches import covered
from .codecs import Clips, fit_audio_codec, fit_video_codec
from .config import TrainingConfig
from .corpus import in_training, read_clip_sound, read_manifest, read_many_pixels, read_voice_of
from .decoder import grown, polish_video_decoder
from .trainer import expected_device, uses_cpu

logger = logging.getLogger(__name__)
AUDIO_CODEC, VIDEO_CODEC = "audio_codec.safetensors", "video_codec.safetensors"
Picture = tuple[NanoVideoCodec, VideoConfig]
Sound = tuple[NanoAudioCodec, AudioConfig]


def learns_codecs(model: ModelConfig) -> bool:
    """Whether a run learns the codecs of this model. Raises ConfigError where it would learn only one."""
    learned = [codec in LEARNED for codec in (model.video.codec, model.audio.codec)]
    if learned[0] != learned[1]:
        raise ConfigError(f"'{model.video.codec}' and '{model.audio.codec}': codecs are learned together or not at all")
    return learned[0]


def learn(config: TrainingConfig, start: checkpoint.Checkpoint, only: str | None) -> tuple[Picture, Sound] | None:
    """The codecs of the run or of the checkpoint it starts from, each with what it says of its latents; learned where there are none.

    None where the run stops with the one that `only` names, as in `run`.
    """
    model = start.config
    for name, part in ((AUDIO_CODEC, checkpoint.AUDIO_CODEC), (VIDEO_CODEC, checkpoint.VIDEO_CODEC)):
        path = Path(config.run) / name
        relearned = part == checkpoint.VIDEO_CODEC and config.codecs.relearn_video
        if part in start.parts and not path.is_file() and not relearned:
            checkpoint.save(path, model, {part: start.parts[part]})
    if only in ("video-codec", "video-decoder"):
        codec, video = video_codec(config, model, start)
        if only == "video-decoder":
            _polish(config, model, codec, video)
        return None
    with PartialState(cpu=uses_cpu(config)).main_process_first():
        audio = audio_codec(config, model)
    if only == "audio-codec":
        return None
    with PartialState(cpu=uses_cpu(config)).main_process_first():
        return video_codec(config, model, start), audio


def _polish(config: TrainingConfig, model: ModelConfig, codec: NanoVideoCodec, video: VideoConfig) -> None:
    """Go on with the decoder of the run's video codec, grown to what the preset has. Raises ConfigError where the configuration has no
    steps for it."""
    if not config.codecs.polish_steps:
        raise ConfigError("this configuration polishes no decoder: set 'polish_steps' of its 'codecs'")
    codec, video = grown(codec, video, int(config.preset().video.options.get("past_blocks", 0)))
    polish_video_decoder(codec, video, training_clips(config), config.codecs, config.seed, logger.info, expected_device(config))
    path = codec_folder(config, model) / VIDEO_CODEC
    checkpoint.save(path, dataclasses.replace(model, video=video), {checkpoint.VIDEO_CODEC: codec.state_dict()})


def codec_folder(config: TrainingConfig, model: ModelConfig) -> Path:
    """Where the codecs and the latents are: in the run's own folder, or in that of another run, which is read only. Raises ConfigError."""
    if not config.codecs_from:
        return Path(config.run)
    folder, learned = Path(config.codecs_from), (AUDIO_CODEC, VIDEO_CODEC) if learns_codecs(model) else ()
    missing = [name for name in (*learned, "latents") if not (folder / name).exists()]
    if missing:
        raise ConfigError(f"codecs_from names {folder}, which has no {', no '.join(missing)}; train that run first")
    return folder


def audio_codec(config: TrainingConfig, model: ModelConfig) -> Sound:
    """Read the run's audio codec; learn it first where there is none."""
    path = codec_folder(config, model) / AUDIO_CODEC
    if path.is_file():
        model, state = _read(path)
        codec = NanoAudioCodec(model.audio)
        checkpoint.load_into(codec, state, "audio codec", torch.float32)
        return codec.eval(), model.audio
    corpus = Path(config.corpus)
    items = [item for item in read_manifest(corpus) if in_training(item.split)]
    voices = {item.voice_file: item for item in items}
    sounds = [read_clip_sound(corpus, item, model.audio.sample_rate) for item in items]
    sounds += [read_voice_of(corpus, voices[name], model.audio.sample_rate) for name in sorted(voices)]
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


def video_codec(config: TrainingConfig, model: ModelConfig, start: checkpoint.Checkpoint | None = None) -> Picture:
    """Read the run's video codec; learn it first where there is none, or go on with that of `start` where the configuration says so."""
    path = codec_folder(config, model) / VIDEO_CODEC
    if path.is_file():
        model, state = _read(path)
        codec = NanoVideoCodec(model.video)
        checkpoint.load_into(codec, state, "video codec", torch.float32)
        return codec.eval(), model.video
    earlier = start.parts.get(checkpoint.VIDEO_CODEC) if start is not None and config.codecs.relearn_video else None
    clips, device = training_clips(config), expected_device(config)
    codec, video = fit_video_codec(model.video, clips, config.codecs, config.seed, logger.info, earlier, device)
    checkpoint.save(path, dataclasses.replace(model, video=video), {checkpoint.VIDEO_CODEC: codec.state_dict()})
    return codec, video


def training_clips(config: TrainingConfig) -> Clips:
    """The first clips of the corpus that are not held out, cut to as many frames as the shortest has."""
    corpus, clips, mouths = Path(config.corpus), [], []
    items = [item for item in read_manifest(corpus) if in_training(item.split)]
    for item, pixels in zip(items, read_many_pixels(corpus, items, config.workers), strict=True):
        if pixels is not None:
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
