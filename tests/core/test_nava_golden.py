"""NAVA's transformer, number for number: one configuration of ours, every run that its pipeline makes, and its guidance."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from reference import GOLDEN, fill, golden
from torch import Tensor

from unitalking_core.checkpoint.nava import config_of, our_names
from unitalking_core.config import ModelConfig
from unitalking_core.flow import Guidance, Pass
from unitalking_core.rope import audio_angles, tables
from unitalking_core.tasks import APART, JOINT, Visibility
from unitalking_core.transformer import Conditions, UniTalkingTransformer

DIT = {"atol": 5e-5, "rtol": 1e-4}
ROWS = (3, 11)
"""Where the golden runs have their speakers in the text."""


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tiny model: those of the 6B, made smaller as its configuration says."""
    raw = json.loads((GOLDEN / "nava_tiny.config.json").read_text())
    sizes = {3072: raw["dim"], 14336: raw["ffn_dim"], 8192: 768, 4096: raw["text_dim"], 18432: 6 * raw["dim"]}
    blocks = {"double_blocks": raw["num_double_layers"], "single_blocks": raw["num_single_layers"]}
    found: dict[str, tuple[int, ...]] = {}
    for name, (_, shape) in json.loads((GOLDEN / "nava_6b.json").read_text()).items():
        for i in range(blocks.get(name.split(".")[0], 1)):
            found[name.replace("*", str(i))] = tuple(sizes.get(n, n) for n in shape)
    return found


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    return config_of(shapes())


@pytest.fixture(scope="module")
def nava(config: ModelConfig) -> UniTalkingTransformer:
    model = UniTalkingTransformer(config).eval()
    theirs = {ours: name for name, ours in our_names(shapes()).items()}
    fill(model, theirs)
    return model


def with_speakers(model: UniTalkingTransformer, text: Tensor, speakers: Tensor) -> Conditions:
    voice, gate = torch.zeros(1, speakers.shape[1], text.shape[1]), torch.zeros(1, text.shape[1])
    voice[0, :, ROWS], gate[0, ROWS] = speakers.T, 1.0
    return model.prepare(text, voice, gate)


def padded(context: Tensor) -> Tensor:
    return F.pad(context, (0, 0, 0, 32 - context.shape[1]))


@pytest.fixture(scope="module")
def runs(nava: UniTalkingTransformer) -> dict[str, tuple[Tensor | None, Tensor | None]]:
    """Every run of the golden file, in its own layout (audio tokens first)."""
    g = golden("nava_tiny")
    video, audio, text = g["video"], g["audio"].transpose(1, 2), padded(g["context"])
    one, two = g["speaker"][:1], g["speaker"]
    plain, heard = nava.prepare(text), with_speakers(nava, text, two)
    still = video.clone()
    still[:, :, :1] = g["first_frame"]
    t = torch.tensor([637.5])

    @torch.no_grad()
    def run(v: Tensor | None, a: Tensor | None, conditions: Conditions, seen: Visibility = JOINT, tv: Tensor = t) -> tuple:
        out, sound = nava(v, a, tv, t, conditions, seen)
        return out, None if sound is None else sound.transpose(1, 2)

    return {
        "joint": run(video, audio, plain),
        "joint_first_frame_clean": run(still, audio, plain, tv=torch.tensor([[0.0, 637.5, 637.5]])),
        "joint_speaker": run(video, audio, heard),
        "joint_speaker_one_for_two_spans": run(video, audio, with_speakers(nava, text, one.expand(2, -1))),
        "joint_speaker_second_zero": run(video, audio, with_speakers(nava, text, torch.cat([one, 0 * one]))),
        "aligned_off": run(video, audio, plain, APART),
        "negative": run(video, audio, nava.prepare(padded(g["context_negative"]))),
        "audio_only": run(None, audio, heard),
        "video_only": run(video, None, plain),
    }


@pytest.mark.parametrize("name", sorted({key.split(".")[1] for key in golden("nava_tiny") if key.startswith("out.")}))
def test_every_run_is_navas(runs: dict, name: str) -> None:
    g = golden("nava_tiny")
    for stream, got in zip(("video", "audio"), runs[name], strict=True):
        want = g.get(f"out.{name}.{stream}")
        assert (got is None) == (want is None)
        if got is not None:
            torch.testing.assert_close(got, want, **DIT)


def test_its_guidance_is_ours(runs: dict, config: ModelConfig) -> None:
    g, s = golden("nava_tiny"), config.sampling
    assert s.audio_text_scale is not None
    guidance = Guidance(s.text_scale, s.audio_text_scale, s.voice_scale, s.video_sync_scale, s.audio_sync_scale, s.lone_voice)
    passes = {Pass.FULL: "joint_speaker", Pass.NO_TEXT: "negative", Pass.NO_VOICE: "joint", Pass.APART: "aligned_off"}
    assert set(guidance.passes) == set(passes)
    got = guidance.combine(*({which: runs[name][i] for which, name in passes.items()} for i in (0, 1)))
    for out, stream in zip(got, ("video", "audio"), strict=True):
        torch.testing.assert_close(out, g[f"guided.{stream}"], atol=5e-4, rtol=1e-4)


def test_a_row_of_the_batch_has_its_own_speakers(nava: UniTalkingTransformer, runs: dict) -> None:
    """Passes with and without voices run as one batch."""
    g = golden("nava_tiny")
    text, audio = padded(g["context"]).expand(2, -1, -1), g["audio"].transpose(1, 2).expand(2, -1, -1)
    voice, gate = torch.zeros(2, 192, 32), torch.zeros(2, 32)
    voice[0, :, ROWS], gate[0, ROWS] = g["speaker"].T, 1.0
    with torch.no_grad():
        _, sound = nava(g["video"].expand(2, -1, -1, -1, -1), audio, *2 * (torch.tensor([637.5, 637.5]),), nava.prepare(text, voice, gate))
    for row, name in enumerate(("joint_speaker", "joint")):
        torch.testing.assert_close(sound[row].T, runs[name][1][0], **DIT)


def test_inner_taps_are_navas(nava: UniTalkingTransformer, config: ModelConfig) -> None:
    g = golden("nava_tiny")
    with torch.no_grad():
        torch.testing.assert_close(nava.audio.embed(g["audio"].transpose(1, 2)), g["tap.joint.embed_audio"], **DIT)
        vectors = torch.cat([g["speaker"], torch.zeros(1, 192)])[None]
        torch.testing.assert_close(nava.voice_embedding(vectors)[0], g["speaker_tokens"], **DIT)
    cos, sin = tables(audio_angles(config.timeline.audio_positions(16), 128))
    torch.testing.assert_close(cos[:, :22], g["rope_audio_cos"], atol=1e-6, rtol=0)
    torch.testing.assert_close(sin[:, :22], g["rope_audio_sin"], atol=1e-6, rtol=0)
    assert bool((sin[:, 22:] == 0).all())


def test_what_is_shared_is_computed_once(nava: UniTalkingTransformer) -> None:
    ready = nava.prepare(padded(golden("nava_tiny")["context"]))
    assert [a.k is v.k for a, v in zip(ready.audio, ready.video, strict=True)] == [False, False, True, True]


def test_voices_without_their_places_are_refused(nava: UniTalkingTransformer) -> None:
    with pytest.raises(ValueError, match="at marked rows of the text"):
        nava.prepare(torch.zeros(1, 32, 64), torch.zeros(1, 192, 32))
