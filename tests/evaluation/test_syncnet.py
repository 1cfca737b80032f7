"""SyncNet: the published layout, features, towers and offset search, each against numbers from elsewhere.

`syncnet_golden.safetensors` was computed once with the authors' public classes (SyncNetModel.py 6efbb1c, the loop and `calc_pdist` of
SyncNetInstance.py dae7abe) on the weights and inputs made below, and with python_speech_features 0.6. The published weights are not here.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from reference import filled, unit_normal
from safetensors.torch import load_file, save_file
from torch import Tensor

from unitalking_core.evaluation import syncnet
from unitalking_core.evaluation.mfcc import mfcc
from unitalking_core.evaluation.syncnet import SyncNet, SyncNetError
from unitalking_core.media import write_clip

HERE = Path(__file__).parent
FRAMES = 12


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(HERE / "syncnet_golden.safetensors")


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    shapes = json.loads((HERE / "syncnet_v2_shapes.json").read_text())["shapes"]
    return {key: filled(key, tuple(shape)) for key, shape in shapes.items()}


@pytest.fixture(scope="module")
def weights_file(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the authors' file: a pickled dictionary of tensors, without BatchNorm's counters."""
    path = tmp_path_factory.mktemp("weights") / "syncnet_v2.model"
    torch.save(weights, path)
    return path


@pytest.fixture(scope="module")
def model(weights_file: Path) -> SyncNet:
    return syncnet.load_syncnet(weights_file)


def picture() -> Tensor:
    return (unit_normal("frames", (FRAMES, 224, 224, 3)) * 60 + 128).round().clamp(0, 255).to(torch.uint8)


def sound() -> Tensor:
    t = torch.arange(FRAMES * 640, dtype=torch.float64) / 16000
    sweep = 0.4 * torch.sin(2 * math.pi * (200 + 900 * t) * t)
    return (sweep + 0.05 * unit_normal("noise", (FRAMES * 640,)).double()).float()


def test_names_and_shapes_are_the_published_ones() -> None:
    published = json.loads((HERE / "syncnet_v2_shapes.json").read_text())["shapes"]
    ours = {key: list(value.shape) for key, value in SyncNet().state_dict().items() if not key.endswith("num_batches_tracked")}
    assert ours == published


def test_mfcc_equals_python_speech_features(golden: dict[str, Tensor]) -> None:
    torch.testing.assert_close(mfcc(sound()), golden["mfcc"], atol=1e-4, rtol=1e-5)


def test_mfcc_of_silence_is_finite() -> None:
    assert torch.isfinite(mfcc(torch.zeros(1000))).all()
    assert mfcc(torch.zeros(10)).shape == (13, 1)
    with pytest.raises(ValueError, match=r"shape \(N,\)"):
        mfcc(torch.zeros(1, 10))


def test_towers_and_windows_equal_the_public_code(model: SyncNet, golden: dict[str, Tensor]) -> None:
    seen, heard = syncnet.embed(model, picture(), sound())
    assert seen.shape == heard.shape == (FRAMES - 5, 1024)
    torch.testing.assert_close(seen[[0, -1]], golden["seen"], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(heard[[0, -1]], golden["heard"], atol=1e-4, rtol=1e-4)


def test_score_equals_the_public_code(golden: dict[str, Tensor]) -> None:
    lips = unit_normal("lips", (40, 32))
    voice = lips.roll(-3, 0) + 0.5 * unit_normal("voice", (40, 32))
    found = syncnet.compare(lips, voice)
    confidence, distance, offset = golden["score"].tolist()
    assert (found.confidence, found.distance, found.offset) == (pytest.approx(confidence), pytest.approx(distance), offset)
    assert offset == 3


@pytest.mark.parametrize("late", [-15, -4, 0, 1, 15])
def test_a_shift_of_k_frames_is_read_as_k(late: int) -> None:
    """The picture shows at frame i what the sound had at i - late: there the distance is 0 but at the edges, elsewhere sqrt 2."""
    windows, reach = 60, 15
    points = torch.eye(windows + 2 * reach)
    found = syncnet.compare(points[reach : reach + windows], points[reach + late : reach + late + windows])
    assert found.offset == late
    assert found.windows == windows
    edge = abs(late) / windows  # there the sound counts as zeros, at distance 1
    assert found.distance == pytest.approx(edge, abs=1e-4)
    assert found.confidence > 1


def test_aligned_embeddings_have_the_analytic_score() -> None:
    """Orthonormal embeddings: at shift s, |s| of W pairs meet nothing (distance 1) and the others miss (sqrt 2)."""
    windows = 50
    found = syncnet.compare(torch.eye(windows), torch.eye(windows))
    curve = sorted([0.0] + [(abs(s) + (windows - abs(s)) * math.sqrt(2)) / windows for s in range(-15, 16) if s])
    assert found.distance == pytest.approx(0, abs=1e-4)
    assert found.confidence == pytest.approx(curve[15], abs=1e-4)


def test_safetensors_and_the_authors_kind_of_file_give_the_same(weights: dict[str, Tensor], model: SyncNet, tmp_path: Path) -> None:
    save_file(weights, tmp_path / "w.safetensors")
    again = syncnet.load_syncnet(tmp_path / "w.safetensors").state_dict()
    assert all(torch.equal(again[key], value) for key, value in model.state_dict().items())
    assert not model.training


def test_wrong_weights_are_refused(weights: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(SyncNetError, match=r"get syncnet_v2\.model from"):
        syncnet.load_syncnet(tmp_path / "absent.model")
    (tmp_path / "text.model").write_text("not weights")
    with pytest.raises(SyncNetError, match=r"text\.model cannot be read as weights"):
        syncnet.load_syncnet(tmp_path / "text.model")
    torch.save({**weights, "netfcaud.0.weight": torch.zeros(3, 3)}, tmp_path / "other.model")
    with pytest.raises(SyncNetError, match=r"first netfcaud\.0\.weight: shape \(512, 512\) expected, \(3, 3\) found"):
        syncnet.load_syncnet(tmp_path / "other.model")


class Executed:
    """Unpickling this would call a function."""

    def __reduce__(self) -> tuple:
        return pytest.fail, ("a weights file was executed",)


def test_a_pickle_is_never_executed(tmp_path: Path) -> None:
    torch.save({"netfcaud.0.weight": Executed()}, tmp_path / "evil.model")
    with pytest.raises(SyncNetError, match="cannot be read as weights"):
        syncnet.load_syncnet(tmp_path / "evil.model")


def test_a_clip_on_disk_is_brought_to_25_fps_and_cropped(model: SyncNet, tmp_path: Path) -> None:
    """Half a second at 50 fps of 64 x 32 px: 12 or 13 frames at 25 fps. The left half is flat, so cropping it must change the score."""
    frames = torch.full((25, 32, 64, 3), 90, dtype=torch.uint8)
    frames[:, :, 32:] = (torch.arange(25) * 10).to(torch.uint8)[:, None, None, None]
    path = tmp_path / "clip.mp4"
    write_clip(path, [frames], sound()[None], fps=Fraction(50), sample_rate=16000)
    whole = syncnet.score_clip(model, path)
    flat = syncnet.score_clip(model, path, crop=(0, 0, 32, 32))
    assert whole.windows == flat.windows
    assert 12 - 5 - 1 <= whole.windows <= 13 - 5
    assert whole.distance != pytest.approx(flat.distance, rel=1e-4)


def test_unusable_clips_are_named(model: SyncNet, tmp_path: Path) -> None:
    with pytest.raises(SyncNetError, match="no such clip"):
        syncnet.score_clip(model, tmp_path / "absent.mp4")
    silent = tmp_path / "silent.mp4"
    write_clip(silent, [torch.zeros(10, 32, 32, 3, dtype=torch.uint8)], fps=25)
    with pytest.raises(SyncNetError, match=r"the sound of .*silent\.mp4"):
        syncnet.score_clip(model, silent)
    with pytest.raises(SyncNetError, match=r"more than 0\.2 s"):
        syncnet.score(model, picture()[:5], sound())
    with pytest.raises(SyncNetError, match="uint8"):
        syncnet.score(model, picture().float(), sound())
