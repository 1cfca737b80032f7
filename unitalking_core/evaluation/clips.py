"""What is made with the checkpoint: for each held-out clip the ceiling (the truth through the codecs) and one clip a task.

    WORK/settings.json            which checkpoint and which sampling the folder belongs to
    WORK/ceiling/ID.safetensors   recordings as they are measured; beside each ID.wav and, where there is a picture, ID.mp4 to look at
    WORK/TASK/ID.safetensors
    WORK/readings/                what tools said of them

What is there is not made again. A clip's seed comes from its id, so that it does not depend on which others are made.
"""

from __future__ import annotations

import json
import logging
import wave
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torchaudio
from torch import Tensor

from ..conditions.voice import fit_voice_tokens
from ..flow import Guidance
from ..generate import Pipeline
from ..latents import from_model_space, to_model_space
from ..media import write_clip
from ..sampling import sample
from ..tasks import Given
from ..training.corpus import CorpusError, Item, read_clip_frames, read_clip_sound, read_voice
from .manifest import HELD_OUT
from .recordings import SAMPLE_RATE, Recording, spoken_words, write_recording
from .trials import Trial

LOG = logging.getLogger(__name__)

CEILING = "ceiling"


@dataclass(frozen=True)
class Settings:
    """What a work folder holds; two equal ones hold equal clips. `checkpoint` and `manifest`: their SHA-256."""

    checkpoint: str
    manifest: str
    steps: int
    guidance: Guidance
    seed: int


@dataclass(frozen=True)
class Maker:
    """Makes what is missing in a work folder."""

    pipeline: Pipeline
    corpus: Path
    work: Path
    settings: Settings
    batch: int = 8

    def claim(self) -> None:
        """Raises ValueError when the folder holds clips of another checkpoint, another test or other settings."""
        self.work.mkdir(parents=True, exist_ok=True)
        path, stated = self.work / "settings.json", json.loads(json.dumps(asdict(self.settings)))
        if path.exists():
            there = json.loads(path.read_text(encoding="utf-8"))
            differing = [key for key in stated if stated[key] != there.get(key)]
            if differing:
                raise ValueError(f"{self.work} holds clips made otherwise ({', '.join(differing)}); name another folder with --work")
        path.write_text(json.dumps(stated, indent=1) + "\n", encoding="utf-8")

    @torch.inference_mode()
    def ceiling(self, items: Sequence[Item]) -> list[Recording]:
        """The truth through the codecs."""
        for batch in self._missing(CEILING, items):
            video, audio = self._latents(batch)
            self._keep(CEILING, batch, self._frames(video), self._sound(audio, batch))
        return self.recordings(CEILING, items)

    @torch.inference_mode()
    def trial(self, trial: Trial, items: Sequence[Item]) -> list[Recording]:
        """What the model makes of a task. A stream that the task gives is the ceiling's."""
        for batch in self._missing(trial.name, items):
            video, audio = self._latents(batch)
            voices = [self._to_space(read_voice(self.corpus, item.voice_file)) for item in batch]
            longest = self.pipeline.config.audio.max_voice_tokens
            made_video, made_audio = sample(
                self.pipeline,
                trial.task,
                [item.text if trial.told else "" for item in batch],
                video,
                audio,
                torch.cat([fit_voice_tokens(voice, longest) for voice in voices]),
                seeds=[zlib.crc32(item.id.encode()) + self.settings.seed for item in batch],
                steps=self.settings.steps,
                guidance=self.settings.guidance,
                visibility=trial.visibility,
            )
            given = self.recordings(CEILING, batch)
            frames = None if trial.task.video is Given.ABSENT else self._frames(made_video)
            if trial.task.video is Given.ALL:
                frames = torch.stack([torch.from_numpy(recording.frames()) for recording in given])
            sound = self._sound(made_audio, batch)
            if trial.task.audio is Given.ALL:
                sound = torch.stack([torch.from_numpy(recording.samples()) for recording in given])
            self._keep(trial.name, batch, frames, sound)
        return self.recordings(trial.name, items)

    def recordings(self, folder: str, items: Sequence[Item]) -> list[Recording]:
        return [Recording(self.work / folder / f"{item.id}.safetensors", spoken_words(item.text)) for item in items]

    def _missing(self, folder: str, items: Sequence[Item]) -> Iterator[list[Item]]:
        """Batches of what is not there yet; clips of a batch are of one length."""
        (self.work / folder).mkdir(exist_ok=True)
        todo = [item for item, there in zip(items, self.recordings(folder, items), strict=True) if not there.path.is_file()]
        by_length: dict[int, list[Item]] = {}
        for item in todo:
            by_length.setdefault(read_clip_sound(self.corpus, item).shape[-1], []).append(item)
        done = 0
        for alike in by_length.values():
            for start in range(0, len(alike), self.batch):
                batch = alike[start : start + self.batch]
                yield batch
                done += len(batch)
                LOG.info("%s: made %d of %d", folder, done, len(todo))

    def _latents(self, batch: Sequence[Item]) -> tuple[Tensor, Tensor]:
        """(B, C, T, h, w) and (B, C, La) in model space."""
        frames = [read_clip_frames(self.corpus, item) for item in batch]
        absent = [item.id for item, picture in zip(batch, frames, strict=True) if picture is None]
        if absent:
            raise CorpusError(f"{absent[0]} is a clip without picture; held-out clips have one")
        pixels = torch.cat([picture for picture in frames if picture is not None]).to(self.pipeline.device)
        video = to_model_space(self.pipeline.video_codec.encode(pixels), self.pipeline.config.video)
        return video, torch.cat([self._to_space(read_clip_sound(self.corpus, item)) for item in batch])

    def _to_space(self, waveform: Tensor) -> Tensor:
        """Waveform (1, 1, N) of the corpus -> latent (1, C, La) in model space."""
        rate = self.pipeline.config.audio.sample_rate
        waveform = torchaudio.functional.resample(waveform, SAMPLE_RATE, rate).to(self.pipeline.device)
        return to_model_space(self.pipeline.audio_codec.encode(waveform), self.pipeline.config.audio)

    def _frames(self, video: Tensor | None) -> Tensor:
        """Latents in model space -> uint8 (B, F, H, W, 3)."""
        assert video is not None  # the task has a picture
        pixels = self.pipeline.video_codec.decode(from_model_space(video, self.pipeline.config.video))
        return pixels.movedim(1, -1).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu()

    def _sound(self, audio: Tensor, batch: Sequence[Item]) -> Tensor:
        """Latents in model space -> int16 (B, N) at SAMPLE_RATE, as long as the true clips."""
        config = self.pipeline.config.audio
        waveform = self.pipeline.audio_codec.decode(from_model_space(audio, config))[:, 0].cpu()
        waveform = torchaudio.functional.resample(waveform, config.sample_rate, SAMPLE_RATE)
        length = read_clip_sound(self.corpus, batch[0]).shape[-1]
        return (waveform[:, :length].clamp(-1, 1) * 32767).round().to(torch.int16)

    def _keep(self, folder: str, batch: Sequence[Item], frames: Tensor | None, sound: Tensor) -> None:
        """Write the recordings, and before each what people look at, so that a recording that is there is whole."""
        for row, recording in enumerate(self.recordings(folder, batch)):
            with wave.open(str(recording.path.with_suffix(".wav")), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(SAMPLE_RATE)
                file.writeframes(sound[row].numpy().tobytes())
            if frames is not None:
                write_clip(
                    recording.path.with_suffix(".mp4"),
                    [frames[row]],
                    sound[row : row + 1].float() / 32768,
                    fps=self.pipeline.config.timeline.exact_fps,
                    sample_rate=SAMPLE_RATE,
                )
            write_recording(recording.path, None if frames is None else frames[row].numpy(), sound[row].numpy())


def held_out(items: Sequence[Item], count: int | None) -> list[Item]:
    """The first held-out clips of a corpus, all of them without a count. Raises CorpusError when there are none, or too few."""
    found = [item for item in items if item.split == HELD_OUT]
    if len(found) < max(1, count or 0):
        raise CorpusError(f"the corpus has {len(found)} held-out clips, {count or 'some'} are needed; make more with its --heldout")
    return found[:count]
