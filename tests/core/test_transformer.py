"""What the joint transformer promises, shown on its velocity: visibility, the gate, timesteps, absent streams, padding."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_config, tiny_model
from torch import Tensor

from unitalking_core.config import ConfigError
from unitalking_core.prepared import PreparedConditions
from unitalking_core.rope import audio_angles, axis_angles, axis_widths, index_angles
from unitalking_core.tasks import APART, AUDIO_FOLLOWS, JOINT, TASKS, Visibility, task_for, visibility_of
from unitalking_core.transformer import UniTalkingTransformer


@pytest.fixture(scope="module")
def model() -> UniTalkingTransformer:
    return tiny_model()


def inputs(seed: int = 0, batch: int = 1) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    return {"video": draw(batch, 8, 3, 4, 4), "audio": draw(batch, 6, 9), "text": draw(batch, 12, 16), "voice": draw(batch, 6, 5)}


@torch.no_grad()
def run(model, x, visibility=JOINT, voice=False, gate=None, t=(500.0, 500.0)) -> tuple[Tensor | None, Tensor | None]:  # noqa: ANN001
    conditions = model.prepare(x["text"], x["voice"] if voice else None, gate)
    batch = x["text"].shape[0]
    times = [torch.full((batch,), s) if isinstance(s, float) else s for s in t]
    return model(x["video"], x["audio"], *times, conditions, visibility)


def test_joint_streams_hear_each_other(model: UniTalkingTransformer) -> None:
    x = inputs()
    video, audio = run(model, x)
    other_audio = run(model, {**x, "audio": torch.randn(1, 6, 9)})
    other_video = run(model, {**x, "video": torch.randn(1, 8, 3, 4, 4)})
    assert (video - other_audio[0]).abs().max() > 1e-3
    assert (audio - other_video[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("visibility", "video_changes", "audio_changes"), [(JOINT, True, True), (AUDIO_FOLLOWS, False, True), (APART, False, False)]
)
def test_what_may_not_be_seen_changes_nothing_bit_for_bit(
    model: UniTalkingTransformer, visibility: Visibility, video_changes: bool, audio_changes: bool
) -> None:
    x = inputs()
    video, audio = run(model, x, visibility)
    assert torch.equal(video, run(model, {**x, "audio": 9 * torch.randn(1, 6, 9)}, visibility)[0]) is not video_changes
    assert torch.equal(audio, run(model, {**x, "video": 9 * torch.randn(1, 8, 3, 4, 4)}, visibility)[1]) is not audio_changes


def test_apart_equals_each_stream_alone(model: UniTalkingTransformer) -> None:
    x = inputs()
    apart = run(model, x, APART)
    torch.testing.assert_close(apart[0], run(model, {**x, "audio": None})[0])
    torch.testing.assert_close(apart[1], run(model, {**x, "video": None})[1])


def test_the_one_way_form_equals_a_dense_mask(model: UniTalkingTransformer) -> None:
    """The two smaller calls give what one masked attention would."""
    import torch.nn.functional as F

    calls = []

    def masked(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        if q.shape[1] != 12 + 9 or k.shape[1] != 12 + 9:
            calls.append(0)
        q, k, v = (y.unflatten(-1, (heads, -1)).transpose(1, 2) for y in (q, k, v))
        mask = None
        if q.shape[2] == k.shape[2] == 21:
            mask = torch.ones(21, 21, dtype=torch.bool)
            mask[:12, 12:] = False
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)

    x = inputs()
    t = torch.full((1,), 500.0)
    with torch.no_grad():
        want = model(x["video"], x["audio"], t, t, model.prepare(x["text"]), JOINT, attend=masked)
    for got, expected in zip(run(model, x, AUDIO_FOLLOWS), want, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_visibility_per_row_equals_each_row_alone(model: UniTalkingTransformer) -> None:
    rows = [inputs(seed) for seed in range(4)]
    batch = {k: torch.cat([r[k] for r in rows]) for k in rows[0]}
    kinds = [JOINT, APART, AUDIO_FOLLOWS, JOINT]
    got = run(model, batch, kinds)
    for i, (row, kind) in enumerate(zip(rows, kinds, strict=True)):
        for mixed, alone in zip(got, run(model, row, kind), strict=True):
            torch.testing.assert_close(mixed[i : i + 1], alone, atol=1e-5, rtol=1e-4)


def test_common_case_is_one_attention_call_per_block(model: UniTalkingTransformer) -> None:
    lengths = []

    def counting(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        from unitalking_core.transformer.operations import attend

        lengths.append((q.shape[1], k.shape[1]))
        return attend(q, k, v, heads)

    x, t = inputs(), torch.full((1,), 500.0)
    with torch.no_grad():
        model(x["video"], x["audio"], t, t, model.prepare(x["text"]), attend=counting)
    assert lengths == [(21, 21), (12, 12), (9, 12)] * 2


def test_gate_zero_equals_no_voice_exactly(model: UniTalkingTransformer) -> None:
    rows = inputs(batch=2)
    none = run(model, rows)
    closed = run(model, rows, voice=True, gate=torch.zeros(2))
    half = run(model, rows, voice=True, gate=torch.tensor([0.0, 1.0]))
    for a, b, c in zip(none, closed, half, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a[0], c[0])
        assert (a[1] - c[1]).abs().max() > 1e-3


def test_timesteps_per_group(model: UniTalkingTransformer) -> None:
    """A timestep per latent, per token and for the whole stream agree where they say the same."""
    x = inputs()
    whole = run(model, x)
    per_group = run(model, x, t=(torch.full((1, 3), 500.0), torch.full((1, 9), 500.0)))
    per_token = run(model, x, t=(torch.full((1, 12), 500.0), 500.0))
    for a, b, c in zip(whole, per_group, per_token, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(a, c, atol=1e-5, rtol=1e-4)
    clean_first = run(model, x, t=(torch.tensor([[0.0, 500.0, 500.0]]), 500.0))
    assert (clean_first[0] - whole[0]).abs().max() > 1e-3
    with pytest.raises(ValueError, match="do not divide"):
        run(model, x, t=(torch.full((1, 5), 500.0), 500.0))


def test_a_start_shifts_the_sound_on_the_videos_clock(model: UniTalkingTransformer) -> None:
    """Attention sees relative positions only: sound that begins one latent later hears a video with one more latent in front alike."""
    x = inputs()
    t, conditions = torch.full((1,), 500.0), model.prepare(x["text"])
    with torch.no_grad():
        plain = model(x["video"], x["audio"], t, t, conditions)
        shifted = model(x["video"], x["audio"], t, t, conditions, audio_start=1.0)
        alone = [model(None, x["audio"], None, t, conditions, audio_start=start)[1] for start in (0.0, 1.0)]
    assert (plain[1] - shifted[1]).abs().max() > 1e-4
    torch.testing.assert_close(alone[0], alone[1], atol=1e-5, rtol=1e-4)
    assert model.timeline.audio_positions(2, 1.0)[1] == pytest.approx(1 + model.timeline.audio_positions(2)[1])


def test_positions_by_index_know_no_clock_and_turn_every_axis() -> None:
    """By index, token n turns by n on all three axes; on the clock it turns in time alone."""
    width = 24
    by_index, by_time = index_angles(range(5), width), audio_angles([0.24 * n for n in range(5)], width)
    assert torch.equal(by_index[1], torch.cat([axis_angles([1], w)[0] for w in axis_widths(width)]))
    assert torch.allclose(by_index, torch.arange(5)[:, None] * by_index[1])
    assert (by_index[1] > 0).all()
    assert (by_time[1] > 0).sum() == axis_widths(width)[0] // 2

    x, t = inputs(), torch.full((1,), 500.0)
    outs = []
    for rope in ("anisotropic", "index"):
        config = tiny_config().with_options({"transformer": {"rope": rope}})
        model = UniTalkingTransformer(config)
        model.load_state_dict(tiny_model().state_dict())
        with torch.no_grad():
            outs.append(model(x["video"], x["audio"], t, t, model.prepare(x["text"]), APART))
    assert torch.equal(outs[0][0], outs[1][0])  # the video's positions are the same
    assert (outs[0][1] - outs[1][1]).abs().max() > 1e-3
    with pytest.raises(ConfigError, match="rope is"):
        tiny_config().with_options({"transformer": {"rope": "sideways"}})


def test_a_model_that_has_sampled_can_be_trained() -> None:
    """Tables made under inference_mode must not come into the way of gradients."""
    model, x, t = tiny_model(), inputs(), torch.full((1,), 500.0)
    with torch.inference_mode():
        model(x["video"], x["audio"], t, t, model.prepare(x["text"]))
    video, audio = model(x["video"], x["audio"], t, t, model.prepare(x["text"]))
    (video.square().sum() + audio.square().sum()).backward()
    assert all(p.grad is not None for p in model.blocks[0].self_attn.parameters())


def test_prepared_conditions_are_kept_for_each_grouping_of_rows(model: UniTalkingTransformer) -> None:
    """Passes that run one by one keep one entry each and never prepare twice; another grouping of the same rows replaces them."""
    kept, made, x = PreparedConditions(), [], inputs()

    def get(*rows: str) -> object:
        return kept.get("owner", rows, lambda: made.append(rows) or model.prepare(x["text"]))

    for _ in range(3):
        assert get("positive") is get("positive")
        get("negative")
    assert made == [("positive",), ("negative",)]
    get("positive", "negative")
    assert len(kept) == 1
    get("positive")
    assert (len(kept), len(made)) == (1, 4)
    kept.get("another model", ("positive",), lambda: model.prepare(x["text"]))
    assert len(kept) == 2
    get()
    assert len(kept) == 2


def test_a_latent_without_its_timestep_is_refused(model: UniTalkingTransformer) -> None:
    x = inputs()
    with pytest.raises(ValueError, match="without its timestep"):
        model(x["video"], None, None, None, model.prepare(x["text"]))


def test_sizes_the_patch_does_not_divide(model: UniTalkingTransformer) -> None:
    x = {**inputs(), "video": torch.randn(1, 8, 2, 3, 5)}
    assert run(model, x)[0].shape == (1, 8, 2, 3, 5)


def test_absent_streams(model: UniTalkingTransformer) -> None:
    x = inputs()
    assert run(model, {**x, "video": None})[0] is None
    with pytest.raises(ValueError, match="both streams are absent"):
        run(model, {**x, "video": None, "audio": None})


def test_the_twin_is_the_same_architecture(model: UniTalkingTransformer) -> None:
    video = {k: v.shape for k, v in model.state_dict().items() if k.startswith("blocks.")}
    audio = {k.removeprefix("audio."): v.shape for k, v in model.state_dict().items() if k.startswith("audio.blocks.")}
    assert video == audio


def test_parameters_live_on_leaf_modules_only(model: UniTalkingTransformer) -> None:
    """A host's offloading and LoRA skip parameters of modules that have children."""
    for name, module in model.named_modules():
        if next(module.children(), None) is not None:
            assert not list(module.parameters(recurse=False)), name


def test_task_table() -> None:
    assert set(TASKS) == {"T2AV", "TI2AV", "TR2AV", "TIR2AV", "TV2A", "A2V", "T2A", "continuation"}
    assert visibility_of(video_generates=False, audio_generates=True) == AUDIO_FOLLOWS
    assert visibility_of(video_generates=True, audio_generates=False) == JOINT
    assert visibility_of(video_generates=True, audio_generates=True) == JOINT
    assert task_for(portrait=True, voice=True).name == "TIR2AV"
    assert task_for(portrait=False, voice=False).name == "T2AV"
    with pytest.raises(ValueError, match="no task takes exactly"):
        task_for(portrait=True, voice=True, text=False)


def test_task_masks() -> None:
    video, audio = TASKS["TIR2AV"].masks(4, 6)
    assert video.tolist() == [0, 1, 1, 1]
    assert audio.tolist() == [1] * 6
    video, audio = TASKS["TV2A"].masks(4, 6)
    assert not video.any()
    assert audio.all()
    assert TASKS["T2A"].masks(4, 6)[0] is None
    video, audio = TASKS["continuation"].masks(4, 6, prefix=(2, 3))
    assert video.tolist() == [0, 0, 1, 1]
    assert audio.tolist() == [0, 0, 0, 1, 1, 1]
