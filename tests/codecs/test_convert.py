"""From the published files to one safetensors file: every key accounted for, folded exactly once, and refusals that say what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from reference import manifest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.codecs.published_weights import CHANNELS, HIDDEN, empty_vae, raw_vae, raw_vocoder
from unitalking_core.checkpoint import CheckpointError
from unitalking_core.cli import main
from unitalking_core.codecs import build_audio_codec
from unitalking_core.codecs.audio_file import load_audio_codec, read_audio_codec
from unitalking_core.codecs.bigvgan import BigVGAN
from unitalking_core.codecs.convert import convert, read_weights
from unitalking_core.codecs.mmaudio import MODES, mmaudio_config
from unitalking_core.codecs.published import (
    fold_gains,
    fold_rows,
    is_convolution,
    part_of,
    recognise_vae,
    recognise_vocoder,
    vae_state,
    vocoder_state,
)

CODECS = list(MODES)
State = dict[str, Tensor]


def folded_vae(codec: str) -> State:
    return {k: fold_rows(v) if is_convolution(k) else v for k, v in raw_vae(codec).items()}


def folded_vocoder(codec: str) -> State:
    """Folded, and with the filters that re-packagings keep."""
    raw = raw_vocoder(codec)
    return fold_gains(raw) | {k: v.clone() for k, v in raw.items() if k.endswith("filter")}


def pair(folder: Path, codec: str = "mmaudio-44k") -> tuple[Path, Path]:
    """The published layout: a flat pickle and a pickle of {"generator": ...}."""
    torch.save(raw_vae(codec), folder / "v1.pth")
    torch.save({"generator": raw_vocoder(codec)}, folder / "bigvgan_generator.pt")
    return folder / "v1.pth", folder / "bigvgan_generator.pt"


@pytest.mark.parametrize(("file", "codec", "hidden"), [("mmaudio_vae_44k", "mmaudio-44k", 512), ("mmaudio_vae_16k", "mmaudio-16k", 384)])
def test_every_key_of_the_published_vaes(file: str, codec: str, hidden: int) -> None:
    """Nothing missing, nothing left over, every shape."""
    published = manifest(file)
    assert recognise_vae(published, file) == (codec, hidden)
    wanted = empty_vae(codec, hidden).state_dict()
    assert {key: value.shape for key, value in published.items()} == {key: value.shape for key, value in wanted.items()}


@pytest.mark.parametrize("layout", ["", ".folded"])
@pytest.mark.parametrize(("file", "codec"), [("bigvgan_v2_44khz_128band_512x", "mmaudio-44k"), ("mmaudio_16k_vocoder", "mmaudio-16k")])
def test_every_key_of_the_published_vocoders(file: str, layout: str, codec: str) -> None:
    published = manifest(file + layout)
    assert recognise_vocoder(published, file) == (codec, 1536)
    folded = fold_gains(published)
    with torch.device("meta"):
        wanted = BigVGAN(MODES[codec].vocoder).state_dict()
    assert {k: v.shape for k, v in folded.items()} == {k: v.shape for k, v in wanted.items()}
    filters = sum(key.endswith("filter") for key in published)
    assert len(published) == len(folded) + filters + (116 if not layout else 0), "every weight norm gives one weight for two entries"


def test_every_key_of_comfyuis_single_file() -> None:
    both = manifest("host_mmaudio_16k_combined")
    vae, vocoder = part_of(both, "vae."), part_of(both, "vocoder.")
    assert recognise_vae(vae, "both") == ("mmaudio-16k", 384)
    assert recognise_vocoder(vocoder, "both") == ("mmaudio-16k", 1536)
    assert set(both) - {f"vae.{k}" for k in vae} - {f"vocoder.{k}" for k in vocoder} == {
        "mel_converter.mel_basis",
        "mel_converter.hann_window",
    }


@pytest.mark.parametrize("codec", CODECS)
def test_raw_and_folded_files_give_the_same_weights(codec: str) -> None:
    _, hidden, from_raw = vae_state(raw_vae(codec), "raw")
    _, _, from_folded = vae_state(folded_vae(codec), "folded")
    assert hidden == HIDDEN
    for key, value in from_raw.items():
        assert torch.equal(value, from_folded[key]), "a folded file is not folded again"
    _, channels, from_raw = vocoder_state(raw_vocoder(codec), "raw")
    _, _, from_folded = vocoder_state(folded_vocoder(codec), "folded")
    renamed = {
        k.replace("weight_g", "parametrizations.weight.original0").replace("weight_v", "parametrizations.weight.original1"): v
        for k, v in raw_vocoder(codec).items()
    }
    _, _, from_new_names = vocoder_state(renamed, "new names")
    assert channels == CHANNELS
    for key, value in from_raw.items():
        assert torch.equal(value, from_folded[key])
        assert torch.equal(value, from_new_names[key])


def test_folding_is_edm2s_and_not_idempotent() -> None:
    weight = torch.tensor([[[3.0, -4.0], [0.0, 5.0]]])
    once = fold_rows(weight)
    torch.testing.assert_close(once, weight / (1e-4 + math.sqrt(50 / 4)) / 2)
    assert not torch.allclose(fold_rows(once), once, rtol=1e-4)


def test_transposed_convolutions_are_folded_over_their_inputs() -> None:
    raw = {"ups.0.0.weight_g": torch.tensor([2.0, 3.0]).reshape(2, 1, 1), "ups.0.0.weight_v": torch.ones(2, 4, 4)}
    folded = fold_gains(raw)["ups.0.0.weight"]
    torch.testing.assert_close(folded[:, 0, 0], torch.tensor([2.0, 3.0]) / 4)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_told_apart_too(half: torch.dtype) -> None:
    """Kijai's 44k file is raw in fp16."""
    for state in (raw_vae("mmaudio-44k"), folded_vae("mmaudio-44k")):
        _, _, read = vae_state({k: v.to(half) for k, v in state.items()}, "half")
        _, _, exact = vae_state(state, "full")
        for key, value in read.items():
            assert value.dtype == torch.float32
            torch.testing.assert_close(value, exact[key], rtol=0.01, atol=0.01 * exact[key].abs().max().item())


@pytest.mark.parametrize("codec", CODECS)
def test_the_command_makes_a_file_that_gives_the_same_sound(codec: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    vae, vocoder = pair(tmp_path, codec)
    out = tmp_path / "models" / "codec.safetensors"
    assert main(["convert-audio-codec", "--vae", str(vae), "--vocoder", str(vocoder), "--out", str(out)]) == 0
    assert f"{codec}, {MODES[codec].sample_rate} Hz" in capsys.readouterr().out
    config, read = load_audio_codec(out)
    assert config == mmaudio_config(codec, HIDDEN, CHANNELS)

    made = build_audio_codec(config)
    made.vae.load_state_dict(folded_vae(codec))
    made.vocoder.load_state_dict(fold_gains(raw_vocoder(codec)))
    wave = 0.2 * torch.randn(1, 1, 5000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        latent = made.encode(wave)
        assert torch.equal(read.encode(wave), latent)
        assert torch.equal(read.decode(latent), made.decode(latent))


def test_the_files_keys_are_not_comfyuis(tmp_path: Path) -> None:
    out = tmp_path / "codec.safetensors"
    convert(*pair(tmp_path, "mmaudio-16k"), out)
    with safe_open(out, framework="pt") as file:
        keys, metadata = list(file.keys()), file.metadata()
    assert all(key.startswith(("audio_codec.vae.", "audio_codec.vocoder.")) for key in keys)
    assert not any(key.endswith("filter") for key in keys)
    assert json.loads(metadata["audio_codec"])["codec"] == "mmaudio-16k"


@pytest.mark.parametrize(("name", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_half_precision_halves_the_file_and_hardly_changes_the_sound(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    vae, vocoder = pair(tmp_path)
    outs = {kind: tmp_path / f"{kind}.safetensors" for kind in ("fp32", name)}
    for kind, out in outs.items():
        assert main(["convert-audio-codec", "--vae", str(vae), "--vocoder", str(vocoder), "--out", str(out), "--dtype", kind]) == 0
    assert outs[name].stat().st_size < 0.6 * outs["fp32"].stat().st_size
    stored = load_file(outs[name])
    assert stored["audio_codec.vae.encoder.conv_in.weight"].dtype == dtype
    assert stored["audio_codec.vocoder.resblocks.0.activations.0.act.alpha"].dtype == torch.float32
    latent = torch.randn(1, 40, 6, generator=torch.Generator().manual_seed(0))
    full, half = (load_audio_codec(out)[1].decode(latent).flatten() for out in outs.values())
    assert torch.cosine_similarity(full, half, dim=0) > (0.999 if name == "fp16" else 0.99)


def test_comfyuis_single_file_is_enough(tmp_path: Path) -> None:
    both = {f"vae.{k}": v for k, v in folded_vae("mmaudio-16k").items()} | {
        f"vocoder.{k}": v for k, v in folded_vocoder("mmaudio-16k").items()
    }
    save_file(both | {"mel_converter.mel_basis": torch.zeros(80, 513)}, tmp_path / "both.safetensors")
    assert main(["convert-audio-codec", "--vae", str(tmp_path / "both.safetensors"), "--out", str(tmp_path / "out.safetensors")]) == 0
    assert read_audio_codec(tmp_path / "out.safetensors")[0].codec == "mmaudio-16k"


def test_a_file_that_lost_its_metadata_is_recognised(tmp_path: Path) -> None:
    convert(*pair(tmp_path), tmp_path / "codec.safetensors")
    save_file(load_file(tmp_path / "codec.safetensors"), tmp_path / "bare.safetensors")
    assert read_audio_codec(tmp_path / "bare.safetensors")[0] == mmaudio_config("mmaudio-44k", HIDDEN, CHANNELS)


class Executes:
    def __reduce__(self) -> tuple:
        return (print, ("this must never be printed",))


def _without(state: State, key: str) -> State:
    return {k: v for k, v in state.items() if k != key}


def _broken(state: State, key: str) -> State:
    return state | {key: torch.full_like(state[key], float("nan"))}


VAE, VOCODER = raw_vae("mmaudio-44k"), raw_vocoder("mmaudio-44k")
CONV = "decoder.mid.block_1.conv1.weight"
STAGE = "ups.3.0.weight"
BAD_FILES: dict[str, tuple[object, object, str]] = {
    "no vae": (None, VOCODER, "no such file"),
    "the two files exchanged": (VOCODER, VAE, r"vae.pth: this is a BigVGAN vocoder; expected MMAudio's VAE"),
    "a vae for a vocoder": (VAE, VAE, r"vocoder.pt: this is MMAudio's audio codec for 44.1 kHz .*; expected a BigVGAN vocoder"),
    "the rates mixed": (VAE, raw_vocoder("mmaudio-16k"), r"vae.pth is the VAE of mmaudio-44k, vocoder.pt the vocoder of mmaudio-16k"),
    "the network": ({"joint_blocks.0.x": torch.ones(2), "fused_blocks.0.x": torch.ones(2)}, VOCODER, "this is MMAudio's network"),
    "another vae": ({"decoder.conv_in.weight": torch.ones(4, 4, 3, 3)}, VOCODER, "this is an image or video VAE"),
    "a wan vae": ({"decoder.middle.0.residual.0.gamma": torch.ones(2)}, VOCODER, "this is Wan2.1's video VAE"),
    "some other model": ({"a": torch.ones(2)}, VOCODER, r"no model that is known here \(1 tensors, the first is 'a'\)"),
    "a vae of other sizes": (
        VAE | {"decoder.conv_in.weight": torch.ones(64, 8, 3)}, VOCODER, "a VAE of 128 mel bands and 8 channels; MMAudio's have 128 and 40",
    ),
    "another vocoder": (
        VAE, VOCODER | {"ups.0.0.weight_v": torch.ones(128, 64, 8)}, "another BigVGAN .128 mel bands, upsampling kernels 8, 8, 4",
    ),
    "a discriminator": (VAE, {"mpd": {"a": torch.ones(2)}, "mrd": {}}, "BigVGAN's discriminator"),
    "a list": ([1, 2], VOCODER, "a pickled list, not a dictionary of tensors"),
    "a key missing": (_without(VAE, CONV), VOCODER, f"1 missing: {CONV}"),
    "a key too many": (VAE | {"quant_conv.weight": torch.ones(2, 2, 1)}, VOCODER, "1 unexpected: quant_conv.weight"),
    "a wrong shape": (VAE | {CONV: torch.ones(64, 64, 5)}, VOCODER, "1 of the wrong shape"),
    "NaN": (_broken(VAE, CONV), VOCODER, f"vae.pth: {CONV} holds NaN"),
    "zeros": ({k: torch.zeros_like(v) for k, v in VAE.items()}, VOCODER, "rows of magnitude 0, expected 1 .raw. or"),
    "half folded": (VAE | {CONV: fold_rows(VAE[CONV])}, VOCODER, f"mixes raw and folded weights: .* is raw, {CONV} is folded"),
    "a vocoder's key missing": (VAE, _without(VOCODER, "conv_pre.bias"), "1 missing: conv_pre.bias"),
    "a gain missing": (VAE, _without(VOCODER, f"{STAGE}_g"), "ups.3.0.weight_v but not ups.3.0.weight_g"),
    "a direction missing": (VAE, _without(VOCODER, f"{STAGE}_v"), "ups.3.0.weight_g but not ups.3.0.weight_v"),
    "a vocoder half folded": (
        VAE, _without(_without(VOCODER, f"{STAGE}_g"), f"{STAGE}_v") | {STAGE: torch.ones(16, 8, 4)}, f"{STAGE} is folded",
    ),
    "NaN in the vocoder": (VAE, _broken(VOCODER, "resblocks.3.convs1.1.weight_v"), r"convs1.1.weight_v holds NaN"),
    "a direction of zero": (VAE, VOCODER | {f"{STAGE}_v": torch.zeros(16, 8, 4)}, f"vocoder.pt: {STAGE} holds NaN"),
    "another filter": (
        VAE, VOCODER | {"activation_post.upsample.filter": torch.ones(1, 1, 12) / 12}, "activation_post.upsample.filter is not BigVGAN's",
    ),
    "code": ({"decoder.conv_in.weight": Executes()}, VOCODER, "vae.pth is refused: it holds more than tensors"),
}  # fmt: skip


def write(content: object, path: Path) -> Path:
    if content is not None:
        torch.save(content, path)
    return path


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused_by_name(case: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    vae, vocoder, message = BAD_FILES[case]
    out = tmp_path / "out" / "codec.safetensors"
    with pytest.raises(CheckpointError, match=message):
        convert(write(vae, tmp_path / "vae.pth"), write(vocoder, tmp_path / "vocoder.pt"), out)
    assert not out.parent.exists() or not list(out.parent.iterdir()), "no partial file is left"
    assert "never be printed" not in capsys.readouterr().out


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("kind", ["pth", "old pth", "safetensors", "empty", "text"])
def test_damaged_files_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    spoil: dict[str, Callable[[], object]] = {
        "pth": lambda: (torch.save(VAE, path), _half(path)),
        "old pth": lambda: (torch.save(VAE, path, _use_new_zipfile_serialization=False), _half(path)),
        "safetensors": lambda: (save_file(VAE, path), _half(path)),
        "empty": lambda: path.write_bytes(b""),
        "text": lambda: path.write_text("<html>404: not found</html>"),
    }
    spoil[kind]()
    with pytest.raises(CheckpointError, match=r"weights.pth is (cut short, damaged|refused)"):
        read_weights(path)


def test_the_command_says_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    vae, vocoder = pair(tmp_path)
    assert main(["convert-audio-codec", "--vae", str(vae), "--vocoder", str(vocoder), "--out", str(tmp_path / "codec.pt")]) == 1
    assert capsys.readouterr().err == "unitalking convert-audio-codec: codec.pt must end in .safetensors, or ComfyUI does not list it\n"


def test_numbers_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    _, vocoder = pair(tmp_path)
    loud = raw_vocoder("mmaudio-44k")
    loud["conv_pre.weight_g"] *= 1e7
    torch.save(loud, vocoder)
    with pytest.raises(CheckpointError, match=r"vocoder.conv_pre.weight does not fit into torch.float16"):
        convert(tmp_path / "v1.pth", vocoder, tmp_path / "out.safetensors", torch.float16)
    assert not (tmp_path / "out.safetensors").exists()


def test_what_is_no_audio_codec_is_told_what_it_is(tmp_path: Path) -> None:
    save_file({"head.modulation": torch.ones(1, 2, 4)}, tmp_path / "wan.safetensors")
    with pytest.raises(CheckpointError, match=r"wan.safetensors: this is a part of a Wan model; an audio codec made by .* is expected"):
        read_audio_codec(tmp_path / "wan.safetensors")
    convert(*pair(tmp_path), tmp_path / "codec.safetensors")
    with pytest.raises(CheckpointError, match=r"this is MMAudio's audio codec for 44.1 kHz .* expected MMAudio's VAE"):
        convert(tmp_path / "codec.safetensors", tmp_path / "codec.safetensors", tmp_path / "again.safetensors")
    _half(tmp_path / "codec.safetensors")
    with pytest.raises(CheckpointError, match=r"codec.safetensors is cut off"):
        read_audio_codec(tmp_path / "codec.safetensors")
    with pytest.raises(CheckpointError, match="no such file"):
        read_audio_codec(tmp_path / "none.safetensors")
