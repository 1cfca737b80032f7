"""The store of latents: what goes in comes out, it only grows, and it does not mix codecs. The codecs' fitting, on a toy corpus."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from unitalking_core.config import AudioConfig, VideoConfig
from unitalking_core.data import later_faces
from unitalking_core.latents import from_model_space, to_model_space
from unitalking_core.training.codecs import Clips, fit_audio_codec, fit_video_codec, textures
from unitalking_core.training.config import CodecConfig
from unitalking_core.training.corpus import CorpusError, read_clip_frames, read_clip_pixels, read_clip_sound, read_manifest
from unitalking_core.training.latents import LatentsError, LatentStore, encode_pictures, encode_sounds

VIDEO = VideoConfig(codec="nano-video", channels=6, fps=24, width=32, height=32, options={"hidden": 8, "blocks": 1, "fine": 8})
AUDIO = AudioConfig(codec="nano-audio", channels=6, sample_rate=16000, samples_per_token=640, options={"hidden": 16, "blocks": 1})
QUICK = CodecConfig(video_clips=4, video_steps=3, video_batch=2, audio_steps=3, audio_batch=4)


def write_corpus(folder: Path, clips: int) -> None:
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    with (folder / "manifest.jsonl").open("w") as manifest:
        for i in range(clips):
            wave = (torch.randn(32667, generator=generator) * 3000).to(torch.int16)
            tensors = {"waveform": wave}
            if i % 3 != 2:
                picture = textures(1, 17, (32, 32), generator)[0].permute(1, 2, 3, 0)
                tensors["frames"] = ((picture + 1) * 127.5).round().to(torch.uint8).contiguous()
            save_file(tensors, folder / "clips" / f"{i}.safetensors")
            save_file({"waveform": wave[:20000].clone()}, folder / f"voice{i % 2}.safetensors")
            line = {"id": f"c{i}", "split": "train", "file": f"clips/{i}.safetensors", "text": "<S>hi<E>", "speaker": "s"}
            manifest.write(json.dumps({**line, "voice_file": f"voice{i % 2}.safetensors", "seconds": 2.0}) + "\n")
        manifest.write('{"id": "half a li')


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path / "corpus", 4)
    return tmp_path / "corpus"


def with_mouths(frames: list[torch.Tensor]) -> Clips:
    """Clips whose mouths are their lower right quarters."""
    mouths = torch.zeros(len(frames), *frames[0].shape[1:3])
    mouths[:, mouths.shape[1] // 2 :, mouths.shape[2] // 2 :] = 1
    return Clips(torch.stack(frames), mouths)


def fit(corpus: Path) -> tuple:
    items = read_manifest(corpus)
    clips = with_mouths([pixels for item in items if (pixels := read_clip_pixels(corpus, item)) is not None])
    sounds = [read_clip_sound(corpus, item) for item in items]
    lines: list[str] = []
    return (*fit_video_codec(VIDEO, clips, QUICK, 0, lines.append), *fit_audio_codec(AUDIO, sounds, QUICK, 0, lines.append))


def test_store_round_trip_and_growth(corpus: Path, tmp_path: Path) -> None:
    video_codec, video, audio_codec, audio = fit(corpus)
    store = tmp_path / "latents"
    assert encode_sounds(store, corpus, lambda: audio_codec, audio) == 4
    assert [e.video for e in LatentStore(store).entries] == [None] * 4
    assert encode_pictures(store, corpus, lambda: video_codec, video) == 4
    write_corpus(corpus, 6)
    (store / "audio.jsonl").open("a").write('{"id": "cut o')
    assert encode_sounds(store, corpus, lambda: audio_codec, audio) == 2
    assert encode_pictures(store, corpus, lambda: video_codec, video) == 2
    opened = LatentStore(store)
    assert [e.id for e in opened.entries] == [f"c{i}" for i in range(6)]
    assert [e.video is None for e in opened.entries] == [False, False, True] * 2
    for item, entry in zip(read_manifest(corpus), opened.entries, strict=True):
        with torch.no_grad():
            sound = to_model_space(audio_codec.encode(read_clip_sound(corpus, item)), audio)[0]
        assert torch.allclose(opened.audio(entry).float(), sound, atol=5e-3)
        assert opened.voice(entry).shape == (6, 32)
        if entry.video:
            with torch.no_grad():
                picture = to_model_space(video_codec.encode(read_clip_frames(corpus, item)), video)[0]
            assert torch.allclose(opened.video(entry).float(), picture, atol=5e-3)
    with pytest.raises(LatentsError, match="made by another codec"):
        encode_sounds(store, corpus, lambda: audio_codec, dataclasses.replace(audio, mean=(0.5,) * 6))


def test_a_clip_that_is_given_a_face_later_is_encoded_then(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec, video, _, _ = fit(corpus)
    store = tmp_path / "latents"
    assert encode_pictures(store, corpus, lambda: codec, video) == 4
    manifest = corpus / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().split("\n")[:-1]]
    lines[2] |= {"drawn": {}}  # the one of speech alone
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(later_faces, "draw_clip", lambda line: torch.zeros(17, 32, 32, 3, dtype=torch.uint8).numpy())
    assert encode_pictures(store, corpus, lambda: codec, video) == 1
    assert encode_pictures(store, corpus, lambda: codec, video) == 0
    (store / "audio.jsonl").write_text("".join(json.dumps({**line, "audio": [0, [6, 1]], "voice": [0, [6, 1]]}) + "\n" for line in lines))
    assert [entry.video is None for entry in LatentStore(store).entries] == [False] * 4


def test_fitted_statistics_describe_the_latents(corpus: Path) -> None:
    video_codec, video, _, audio = fit(corpus)
    assert len(video.mean) == len(video.std) == len(audio.mean) == 6
    assert len(video.preview) == 7
    item = read_manifest(corpus)[0]
    with torch.no_grad():
        latent = video_codec.encode(read_clip_frames(corpus, item))
    model = to_model_space(latent, video)
    assert torch.allclose(from_model_space(model, video), latent, atol=1e-4)
    colours = torch.einsum("bcthw,cr->brthw", model, torch.tensor(video.preview[:-1])) + torch.tensor(video.preview[-1]).view(1, 3, 1, 1, 1)
    truth = torch.nn.functional.avg_pool3d(read_clip_frames(corpus, item)[:, :, ::4], (1, 16, 16))
    assert (colours - truth).abs().mean() < 0.5 * (truth - truth.mean((2, 3, 4), keepdim=True)).abs().mean()


def test_a_missing_or_broken_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"manifest\.jsonl is missing"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.jsonl").write_text('{"id": "x"}\n')
    with pytest.raises(CorpusError, match=r"line 1: KeyError\('split'\)"):
        read_manifest(tmp_path)
