"""Clips are read back by something other than what wrote them: PyAV, exiftool, and the way ComfyUI's front end looks for a workflow."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from unitalking_core.marking import PACK, SOURCE_TYPE, XMP_BOX
from unitalking_core.media import ClipError, Encoding, write_clip

av = pytest.importorskip("av")
CONTAINERS = ("mp4", "webm")
RATE = 16000
WORKFLOW = json.dumps(
    {"nodes": [{"text": "a=b; c#d \\ e\nf\tg 'h' \"i\" { [ ü 鳥 🐦 = ;# \\\\n " + "x;=#\\\n{" * 30_000}]}, ensure_ascii=False, indent=1
)


def ramp(frames: int = 25, height: int = 64, width: int = 96) -> torch.Tensor:
    """A picture that gets brighter; uint8 (frames, height, width, 3)."""
    levels = torch.linspace(20, 230, frames).to(torch.uint8)
    return levels[:, None, None, None].expand(frames, height, width, 3).contiguous()


def tone(samples: int, rate: int = RATE, channels: int = 1) -> torch.Tensor:
    return (0.4 * torch.sin(torch.arange(samples) * 2 * torch.pi * 440 / rate)).expand(channels, samples)


def decoded(path: Path) -> tuple[list[av.VideoFrame], np.ndarray]:
    """Frames, and sound as (samples, ) of the first channel placed by its time stamps at its own rate."""
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
    with av.open(str(path)) as file:
        rate = file.streams.audio[0].rate
        blocks = [(round(float(b.pts * b.time_base) * rate), b.to_ndarray()[0]) for b in file.decode(audio=0)]
    sound = np.zeros(max(at + len(block) for at, block in blocks), np.float32)
    for at, block in blocks:
        kept = block[max(0, -at) :]
        sound[max(at, 0) : max(at, 0) + len(kept)] = kept
    return frames, sound


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start + 8 <= end:
        size, name = struct.unpack(">I4s", data[start : start + 8])
        assert size >= 8
        yield name, start + 8, start + size
        start += size


def mp4_tags(data: bytes) -> dict[str, str]:
    """Tags where the front end looks for them: names in moov/udta/meta/keys, values in ilst by number."""
    start, end = 0, len(data)
    for name in (b"moov", b"udta", b"meta"):
        start, end = next((a, b) for box, a, b in boxes(data, start, end) if box == name)
    inside = {box: (a, b) for box, a, b in boxes(data, start + 4, end)}
    at = inside[b"keys"][0] + 8
    names = []
    while at < inside[b"keys"][1]:
        size = struct.unpack(">I", data[at : at + 4])[0]
        names.append(data[at + 8 : at + size].decode())
        at += size
    values = {}
    for number, a, b in boxes(data, *inside[b"ilst"]):
        box, value, value_end = next(boxes(data, a, b))
        assert box == b"data"
        values[names[int.from_bytes(number, "big") - 1]] = data[value + 8 : value_end].decode()
    return values


def webm_json(data: bytes, name: bytes) -> object:
    """The value of a tag as the front end reads it: in the first 2 MiB, from the first brace on, as far as braces balance."""
    head = data[: 2 * 1024 * 1024]
    text = head[head.index(b"{", head.index(name)) :].decode("utf-8", "replace")
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return json.loads(text[: at + 1])
    raise AssertionError("braces do not balance")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("fps", [24, Fraction(24000, 1001), 29.97])
def test_streams_are_what_was_given(tmp_path: Path, container: str, fps: Fraction | float) -> None:
    samples = round(25 / fps * RATE)
    info = write_clip(tmp_path / f"a.{container}", [ramp()[:9], ramp()[9:].numpy()], tone(samples), fps=fps, sample_rate=RATE)
    assert (info.frames, info.width, info.height, info.samples) == (25, 96, 64, samples)
    assert info.seconds == pytest.approx(25 / fps)
    with av.open(str(info.path)) as file:
        video, audio = file.streams.video[0], file.streams.audio[0]
        assert file.streams[0] is video
        assert (video.codec_context.name, audio.codec_context.name) in {("h264", "aac"), ("libvpx-vp9", "libopus"), ("vp9", "opus")}
        assert video.codec_context.pix_fmt == "yuv420p" and video.average_rate == info.fps
        assert (video.width, video.height) == (96, 64)
    frames, sound = decoded(info.path)
    assert len(frames) == 25 and frames[0].pts == 0
    with av.open(str(info.path)) as file:
        assert abs(len(sound) / file.streams.audio[0].rate - samples / RATE) <= 1024 / RATE
    brightness = [frame.to_ndarray(format="rgb24").mean() for frame in frames]
    assert np.allclose(brightness, ramp()[:, 0, 0, 0].numpy(), atol=4)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("rate", [16000, 44100])
def test_sound_stays_with_the_picture(tmp_path: Path, container: str, rate: int) -> None:
    """A burst of noise half a second in comes back there, to 2 ms."""
    noise = torch.zeros(1, rate)
    noise[0, rate // 2 : rate // 2 + rate // 50] = torch.randn(rate // 50, generator=torch.Generator().manual_seed(0)) * 0.3
    path = write_clip(tmp_path / f"a.{container}", [ramp(24)], noise, fps=24, sample_rate=rate).path
    _, sound = decoded(path)
    with av.open(str(path)) as file:
        got_rate = file.streams.audio[0].rate
    given = np.interp(np.arange(got_rate) / got_rate, np.arange(rate) / rate, noise[0].numpy())
    lag = np.correlate(sound[: len(given)], given, "full").argmax() - (len(given) - 1)
    assert abs(lag) / got_rate < 0.002


@pytest.mark.parametrize("container", CONTAINERS)
def test_colours_come_back(tmp_path: Path, container: str) -> None:
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [128, 90, 60]], dtype=torch.uint8)
    still = colours.repeat_interleave(32, 0)[None, None].expand(5, 64, -1, 3)
    path = write_clip(tmp_path / f"a.{container}", [still], fps=24, encoding=Encoding(container, "high")).path
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        assert (int(frame.colorspace), int(frame.color_range)) == (1, 1)  # bt709, limited
        assert file.streams.video[0].codec_context.color_primaries == 1 and file.streams.video[0].codec_context.color_trc == 1
    planes = frame.to_ndarray()  # (96, 192): luma, then both chroma planes at half size
    luma = planes[32, 16::32].astype(float)
    blue, red = (planes[64 + 16 * k : 80 + 16 * k].reshape(32, 96)[16, 8::16].astype(float) for k in range(2))
    y, u, v = (luma - 16) / 219, (blue - 128) / 224, (red - 128) / 224
    got = 255 * np.stack([y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u], -1)  # ITU-R BT.709
    assert np.abs(got - colours.numpy()).max() < 6


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_large_workflow_survives(tmp_path: Path, container: str) -> None:
    assert len(WORKFLOW) > 200_000
    given = {"workflow": WORKFLOW, "prompt": '{"1": {"inputs": {"text": "}{{"}}}', "note": "line\nline; #1 = \\ é"}
    path = write_clip(tmp_path / f"a.{container}", [ramp()], tone(RATE), fps=24, sample_rate=RATE, metadata=given).path
    with av.open(str(path)) as file:
        read = {key.lower(): value for key, value in file.metadata.items()}
    assert read["note"] == given["note"]
    for key in ("workflow", "prompt"):
        assert json.loads(read[key]) == json.loads(given[key])
    data = path.read_bytes()
    if container == "mp4":
        assert given.items() <= mp4_tags(data).items()
        assert data.index(b"moov") < data.index(b"mdat")
    else:
        assert [webm_json(data, name) for name in (b"WORKFLOW", b"PROMPT")] == [json.loads(given[k]) for k in ("workflow", "prompt")]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("metadata", [None, {"workflow": "{}", "digitalsourcetype": "a camera"}])
def test_every_clip_is_marked(tmp_path: Path, container: str, metadata: dict[str, str] | None) -> None:
    path = write_clip(tmp_path / f"a.{container}", [ramp()], fps=24, metadata=metadata).path
    with av.open(str(path)) as file:
        read = {key.lower(): value for key, value in file.metadata.items()}
    assert (read["digitalsourcetype"], read["creatortool"]) == (SOURCE_TYPE, PACK)
    data = path.read_bytes()
    if container == "mp4":
        packet = next(data[a:b] for name, a, b in boxes(data, 0, len(data)) if name == b"uuid")
        assert packet.startswith(XMP_BOX.bytes) and SOURCE_TYPE.encode() in packet and PACK.encode() in packet


@pytest.mark.parametrize(("container", "group"), [("mp4", "XMP"), ("webm", "Matroska")])
@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool (Debian: libimage-exiftool-perl) is not installed")
def test_exiftool_reads_the_mark(tmp_path: Path, container: str, group: str) -> None:
    path = write_clip(tmp_path / f"a.{container}", [ramp()], tone(RATE), fps=24, sample_rate=RATE).path
    said = subprocess.run(["exiftool", "-j", f"-{group}:all", "-Warning", "-Error", path], capture_output=True, text=True, check=True)
    read = {key.lower(): value for key, value in json.loads(said.stdout)[0].items()}
    assert read["digitalsourcetype"] == SOURCE_TYPE
    assert read["creatortool"] == PACK and "warning" not in read and "error" not in read


@pytest.mark.parametrize("container", CONTAINERS)
def test_odd_sizes_repeat_the_edge(tmp_path: Path, container: str) -> None:
    info = write_clip(tmp_path / f"a.{container}", [ramp(3, 63, 95)], fps=24)
    assert (info.width, info.height) == (96, 64)
    with av.open(str(info.path)) as file:
        frame = list(file.decode(video=0))[-1].to_ndarray(format="rgb24")
    assert frame.shape == (64, 96, 3) and np.abs(frame.astype(int) - 230).max() < 5


def test_frames_are_asked_for_one_chunk_at_a_time_and_the_source_is_closed(tmp_path: Path) -> None:
    alive, most, closed = 0, 0, []

    class Chunk(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= self.base is None

    def frames() -> Iterator[np.ndarray]:
        nonlocal alive, most
        try:
            for _ in range(30):
                alive += 1
                most = max(most, alive)
                yield np.ndarray.__new__(Chunk, (2, 64, 64, 3), np.uint8)
        finally:
            closed.append(True)

    assert write_clip(tmp_path / "a.mp4", frames(), fps=24).frames == 60
    assert most <= 4 and closed


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("kind", [OSError, Interrupted])
@pytest.mark.parametrize("before", [0, 3])
def test_an_interrupted_clip_leaves_nothing(
    tmp_path: Path, kind: type[BaseException], before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, start = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: started.append(start(*args, **options)) or started[-1])
    path = tmp_path / "a.mp4"
    path.write_bytes(b"what was there")

    def frames() -> Iterator[torch.Tensor]:
        for _ in range(before):
            yield ramp(50, 256, 256)
        raise kind("stop")

    with pytest.raises(kind, match="stop"):
        write_clip(path, frames(), tone(RATE), fps=24, sample_rate=RATE)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"what was there"
    assert len(started) == (before > 0) and all(process.returncode is not None for process in started)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are a Unix matter")
def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    import resource

    noise = torch.randint(0, 256, (60, 256, 256, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        with pytest.raises(ClipError, match=r"a\.mp4 could not be written"):
            write_clip(tmp_path / "a.mp4", [noise], fps=24)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_a_failing_ffmpeg_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\necho first >&2\necho 'the encoder is on strike' >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))
    with pytest.raises(ClipError, match=r"code 3: .*the encoder is on strike"):
        write_clip(tmp_path / "a.mp4", [ramp(50, 256, 256)], fps=24)
    assert list(tmp_path.iterdir()) == [script]


def test_bad_input_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(match: str, frames: object = None, waveform: object = None, name: str = "a.mp4", **options: object) -> None:
        with pytest.raises(ClipError, match=match):
            write_clip(tmp_path / name, [ramp()] if frames is None else frames, waveform, **{"fps": 24, "sample_rate": RATE, **options})
        assert not list(tmp_path.iterdir())

    refused("no frames", [])
    refused("no frames", [ramp()[:0]])
    refused("from 96x64 to 32x16 at frame 25", [ramp(), ramp(2, 16, 32)])
    refused("uint8 .* got float32", [ramp().float()])
    refused(r"\(n, height, width, 3\)", [ramp()[0]])
    refused("first at sample 7", waveform=torch.tensor([[0.0] * 7 + [float("nan")]]))
    refused("1 or 2 channels", waveform=torch.zeros(RATE))
    refused("sample rate", waveform=torch.zeros(1, 9), sample_rate=None)
    refused("frames per second", fps=0)
    refused("container 'avi'", name="a.avi")
    refused(r"ending in \.webm", encoding=Encoding("webm"))
    refused("zero character", metadata={"workflow": "a\0b"})
    refused("could not be written", name="missing/a.mp4")
    with pytest.raises(ClipError, match="quality"):
        Encoding("mp4", "best")
    with pytest.raises(ClipError, match="rate factor"):
        Encoding("mp4", 60)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    refused("no ffmpeg")
