"""Schedules and samplers against the reference's numbers, and against exact answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from reference import golden
from torch import Tensor

from unitalking_core.config import SamplingConfig
from unitalking_core.flow import Guidance, Pass, interpolate, sample_euler, sample_unipc, shift, target, uniform_sigmas, wan_sigmas


def reference_velocity(x: Tensor, s: float) -> Tensor:
    return 0.7 * torch.cos(torch.tensor(3 * s)) * x + 0.3 * torch.tanh(1.5 * x) - 0.5


@pytest.mark.parametrize(("steps", "amount"), [(50, 5), (40, 5), (20, 5), (10, 5), (50, 3), (30, 8)])
def test_wan_schedule(steps: int, amount: int) -> None:
    g = golden("schedules")
    sigmas, timesteps = wan_sigmas(steps, amount)
    torch.testing.assert_close(sigmas, g[f"unipc_steps{steps}_shift{amount}.sigmas"], atol=1e-6, rtol=0)
    assert torch.equal(timesteps, g[f"unipc_steps{steps}_shift{amount}.timesteps"])


@pytest.mark.parametrize("steps", [10, 50])
def test_unipc_trajectory(steps: int) -> None:
    g = golden("schedules")
    sigmas = g[f"unipc_steps{steps}_shift5.sigmas"]
    got = torch.stack(list(sample_unipc(reference_velocity, g["x0"], sigmas)))
    torch.testing.assert_close(got, g[f"unipc_steps{steps}_shift5.trajectory"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [10, 50])
def test_euler_trajectory(steps: int) -> None:
    g = golden("schedules")
    got = torch.stack(list(sample_euler(reference_velocity, g["x0"], g[f"ovi_euler_steps{steps}_shift5.sigmas"])))
    want = g[f"ovi_euler_steps{steps}_shift5.trajectory"]
    torch.testing.assert_close(got[-len(want) :], want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sampler", [sample_euler, sample_unipc])
def test_a_single_data_point_is_reached_exactly(sampler) -> None:  # noqa: ANN001
    """With all data at one point the exact velocity is (x - data) / s, whose paths are straight lines: any step count lands on it."""
    data, noise = torch.randn(2, 3), torch.randn(2, 3)
    start = interpolate(data, noise, 0.9)
    sigmas = torch.tensor([0.9, 0.5, 0.2, 0.0])
    *_, got = sampler(lambda x, s: (x - data) / s, start, sigmas)
    torch.testing.assert_close(got, data, atol=1e-5, rtol=0)


def test_second_order_where_euler_is_first() -> None:
    """dx/ds = 2 s has the answer x(0) = x(S) - S^2; halving the step halves Euler's error and quarters UniPC's or better."""

    def error(sampler, steps: int) -> float:  # noqa: ANN001
        sigmas = torch.linspace(0.9, 0.3, steps + 1, dtype=torch.float64)
        *_, got = sampler(lambda _x, s: torch.full((1,), 2 * s, dtype=torch.float64), torch.zeros(1, dtype=torch.float64), sigmas)
        return abs(float(got) - (0.3**2 - 0.9**2))

    assert error(sample_euler, 16) / error(sample_euler, 32) == pytest.approx(2, rel=0.05)
    assert error(sample_unipc, 32) < error(sample_euler, 32) / 5


def test_path_and_target_agree() -> None:
    data, noise = torch.randn(5), torch.randn(5)
    torch.testing.assert_close(interpolate(data, noise, 0.3) - 0.3 * target(data, noise), data)
    torch.testing.assert_close(interpolate(data, noise, 1.0), noise)


def test_shift() -> None:
    s = torch.linspace(0, 1, 11)
    torch.testing.assert_close(shift(s, 1), s)
    assert shift(s, 5)[[0, -1]].tolist() == [0, 1]
    assert uniform_sigmas(4, 1.0).tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_guidance_neutral_runs_one_pass_and_changes_nothing() -> None:
    full = torch.randn(3), torch.randn(2)
    assert Guidance().passes == (Pass.FULL,)
    got = Guidance().combine({Pass.FULL: full[0]}, {Pass.FULL: full[1]})
    assert got[0] is full[0]
    assert got[1] is full[1]


def test_guidance_is_classifier_free_guidance_per_stream() -> None:
    guidance = Guidance(text_video=4, text_audio=3)
    assert guidance.passes == (Pass.FULL, Pass.NO_TEXT)
    video = {Pass.FULL: torch.randn(3), Pass.NO_TEXT: torch.randn(3)}
    audio = {Pass.FULL: torch.randn(2), Pass.NO_TEXT: torch.randn(2)}
    got = guidance.combine(video, audio)
    for out, streams, scale in ((got[0], video, 4), (got[1], audio, 3)):
        torch.testing.assert_close(out, torch.lerp(streams[Pass.NO_TEXT], streams[Pass.FULL], scale))


def test_a_models_own_guidance_and_scales_in_its_place() -> None:
    own = SamplingConfig(text_scale=5.0, voice_scale=2.0, video_sync_scale=0.5, lone_voice=True)
    assert Guidance.of(own) == Guidance(5.0, 5.0, 2.0, 0.5, 0.0, lone_voice=True)
    assert Guidance.of(replace(own, audio_text_scale=3.0)) == Guidance(5.0, 3.0, 2.0, 0.5, 0.0, lone_voice=True)
    assert Guidance.of(own, 4.0, 1.0, 0.0) == Guidance(4.0, 4.0, lone_voice=True)


@pytest.mark.parametrize(("lone", "hear"), [(False, {Pass.FULL, Pass.NO_TEXT, Pass.APART}), (True, {Pass.FULL})])
def test_which_passes_hear_the_voice(lone: bool, hear: set[Pass]) -> None:
    guidance = Guidance(4, 3, 4, 3, 2, lone_voice=lone)
    assert {each for each in guidance.passes if guidance.hears(each)} == hear


def test_guidance_terms_add_up() -> None:
    out = {p: torch.randn(4) for p in Pass}
    c = out[Pass.FULL]
    got, absent = Guidance(2, 1, 3, 0.5, 0).combine(out, dict.fromkeys(Pass))
    want = c + (c - out[Pass.NO_TEXT]) + 2 * (c - out[Pass.NO_VOICE]) + 0.5 * (c - out[Pass.APART])
    torch.testing.assert_close(got, want)
    assert absent is None


def test_what_a_run_has_not_guides_nothing() -> None:
    guidance = Guidance(4, 3, 4, 3, 2, lone_voice=True)
    assert guidance.without_sync() == Guidance(4, 3, 4, lone_voice=True)
    assert guidance.without_sync().without_voice().passes == (Pass.FULL, Pass.NO_TEXT)


def test_what_is_given_whole_asks_for_no_pass() -> None:
    guidance = Guidance(text_video=1, text_audio=2, sync_video=1)
    assert guidance.where_made(video=True, audio=True) == guidance
    assert guidance.where_made(video=True, audio=False).passes == (Pass.FULL, Pass.APART)
    assert guidance.where_made(video=False, audio=True).passes == (Pass.FULL, Pass.NO_TEXT)
    assert Guidance(3, 3).where_made(video=True, audio=False) == Guidance(3, 3)
