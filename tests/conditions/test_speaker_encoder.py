"""The speaker encoder is ReDimNet's own, number for number; voices find their places in a prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from reference import GOLDEN, filled, golden

from unitalking_core.checkpoint import CheckpointError, write_atomically
from unitalking_core.cli import main
from unitalking_core.conditions.redimnet import ReDimNet
from unitalking_core.conditions.speaker_encoder import load
from unitalking_core.conditions.speakers import MARKER, marked, place_voices, require_kind
from unitalking_core.conditions.voice import VoiceError, whole_voice
from unitalking_core.presets import nano, nava_6b

KINDS = json.loads((GOLDEN / "redimnet_tiny.config.json").read_text())


def published_file(folder: Path, kind: str = "convnext", **changes: int) -> Path:
    """A small ReDimNet as its authors publish them, filled by the reference's rule."""
    config = {**KINDS[kind], **changes}
    state = {
        key: torch.tensor(0) if "num_batches" in key else filled(key, tuple(value.shape))
        for key, value in ReDimNet(config).state_dict().items()
        if not key.startswith("mel.")
    }
    state["spec.torchfbank.1.flipped_filter"] = torch.tensor([[[-0.97, 1.0]]])
    torch.save({"model_config": {**config, "num_classes": None}, "state_dict": state}, folder / "published.pt")
    return folder / "published.pt"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_it_is_the_published_network(tmp_path: Path, kind: str) -> None:
    g, out = golden("redimnet_tiny"), tmp_path / "encoder.safetensors"
    assert main(["convert-speaker-encoder", str(published_file(tmp_path, kind)), "--out", str(out)]) == 0
    with torch.no_grad():
        torch.testing.assert_close(load(out)(g["waveform"]), g[kind], atol=2e-5, rtol=1e-4)


def test_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_atomically(tmp_path / "other.safetensors", {"x": torch.ones(1)}, {})
    with pytest.raises(CheckpointError, match=r"is no speaker encoder; make it with `unitalking convert-speaker-encoder`"):
        load(tmp_path / "other.safetensors")
    torch.save({"state_dict": {}, "model_config": Path("x")}, tmp_path / "code.pt")
    assert main(["convert-speaker-encoder", str(tmp_path / "code.pt"), "--out", str(tmp_path / "x.safetensors")]) == 1
    assert "could run code" in capsys.readouterr().err
    torch.save({"x": torch.ones(1)}, tmp_path / "none.pt")
    (tmp_path / "junk.safetensors").write_bytes(b"hello")
    (tmp_path / "junk.pt").write_bytes(b"hello")
    for name, message in (("none.pt", "no published ReDimNet"), ("junk.safetensors", "damaged or no"), ("junk.pt", "junk.pt is")):
        assert main(["convert-speaker-encoder", str(tmp_path / name), "--out", str(tmp_path / "x.safetensors")]) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x.safetensors").exists()


def test_the_recording_is_heard_as_it_is() -> None:
    loud = 0.5 * torch.sin(torch.arange(64000) / 9)[None]
    voice = whole_voice(torch.cat([loud, loud]), 16000, 16000, 3.0)
    torch.testing.assert_close(voice.waveform, loud[:, :48000])


def letters(text: str) -> list[int]:
    return [7] if text == MARKER else [ord(c) for c in text]


def test_a_marker_stands_behind_every_opening_mark() -> None:
    ids = marked(f"a <S>{MARKER}hi<E> <S>yo<E>", letters)
    assert [i for i, token in enumerate(ids) if token == 7] == [5, 15]
    assert ids == [*letters("a <S>"), 7, *letters("hi<E> <S>"), 7, *letters("yo<E>")]
    assert marked("quiet", letters) == letters("quiet")


def test_voices_take_their_spans_in_order() -> None:
    voices = torch.stack([torch.full((192,), 1.0), torch.full((192,), 2.0)], dim=1)[None]
    voice, gate = place_voices(voices, [3, 5], 8)
    assert gate[0].nonzero().flatten().tolist() == [3, 5]
    assert voice[0, 0].tolist() == [0, 0, 0, 1, 0, 2, 0, 0]
    assert place_voices(voices[:, :, :1], [3, 5, 6], 8)[0][0, 0].tolist() == [0, 0, 0, 1, 0, 1, 1, 0]
    assert place_voices(voices, [3], 8)[0][0, 0].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    with pytest.raises(VoiceError, match=r"3 spans <S>\.\.\.<E> and 2 voices"):
        place_voices(voices, [1, 2, 3], 8)
    with pytest.raises(VoiceError, match="says nothing for the voice"):
        place_voices(voices, [], 8)


def test_a_voice_of_the_wrong_kind_is_named() -> None:
    require_kind(torch.zeros(1, 192, 2), nava_6b())
    require_kind(torch.zeros(1, 40, 75), nano())
    with pytest.raises(VoiceError, match=r"sound in 40 channels .* 'nava-6b' takes speaker vectors"):
        require_kind(torch.zeros(1, 40, 75), nava_6b())
    with pytest.raises(VoiceError, match=r"is a speaker vector .* 'nano' takes sound in 40 channels"):
        require_kind(torch.zeros(1, 192, 1), nano())
    with pytest.raises(VoiceError, match="3 voices are given; 'nava-6b' tells at most 2"):
        require_kind(torch.zeros(1, 192, 3), nava_6b())
