"""Models that predict data: the velocity they give, against analytic answers."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny import tiny_config

from unitalking_core.config import ConfigError, TransformerConfig
from unitalking_core.flow import interpolate, target
from unitalking_core.prediction import MOST_WEIGHT, guess, loss_weight, normalise, to_velocity
from unitalking_core.transformer import UniTalkingTransformer


def test_data_that_stay_as_they_began_need_no_network() -> None:
    data = torch.randn(2, 4, 1, 3, 3).expand(-1, -1, 5, -1, -1)
    noise = torch.randn(2, 4, 5, 3, 3)
    x = interpolate(data, noise, 0.7)
    x[:, :, 0] = data[:, :, 0]
    expected = guess(x, torch.tensor([True, False]), 0.4)
    assert not expected.centre[1].any()
    velocity = to_velocity(torch.zeros_like(x), x, torch.tensor(0.7), expected)
    torch.testing.assert_close(velocity[0, :, 1:], target(data, noise)[0, :, 1:])


def test_the_streams_see_unit_variance_and_what_is_given_as_it_is() -> None:
    data, level = 5 + 0.3 * torch.randn(1, 1, 100_000), torch.tensor(0.4)
    x = interpolate(data, torch.randn_like(data), 0.4)
    expected = guess(x, torch.tensor([False]), 0.3)._replace(centre=torch.tensor(5.0), spread=torch.tensor(0.3))
    assert normalise(x, level, expected).std().item() == pytest.approx(1, rel=0.01)
    assert torch.equal(normalise(x, torch.tensor(0.0), expected), x)


def test_errors_count_as_errors_of_the_output() -> None:
    x, level = torch.randn(3, 4, 5), torch.tensor([0.6, 0.8, 1.0]).view(3, 1, 1)
    expected = guess(x, torch.zeros(3, dtype=torch.bool), 1.0)
    first, second = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    between = (to_velocity(first, x, level, expected) - to_velocity(second, x, level, expected)).square()
    told = ((1 - level) ** 2 + level**2) / level**2
    torch.testing.assert_close(between * loss_weight(level, expected.spread), told * (first - second).square())


def test_little_noise_counts_no_more_than_the_limit() -> None:
    level = torch.tensor([0.1, 0.2])
    assert torch.allclose(loss_weight(level, torch.tensor(0.5)) * (0.5 / level) ** 2, torch.full((2,), MOST_WEIGHT))


def test_the_model_gives_the_velocity_around_a_first_picture_only_where_it_is_given() -> None:
    config = tiny_config()
    config = dataclasses.replace(
        config,
        transformer=dataclasses.replace(config.transformer, predicts="data"),
        video=dataclasses.replace(config.video, change=0.3),
    )
    model = UniTalkingTransformer(config).eval()
    torch.nn.init.zeros_(model.head.head.weight)
    torch.nn.init.zeros_(model.head.head.bias)
    video, audio, text = torch.randn(2, 8, 3, 4, 6), torch.randn(2, 6, 9), torch.randn(2, 12, 16)
    t = torch.tensor([[0.0, 800.0, 800.0], [800.0, 800.0, 800.0]])
    with torch.no_grad():
        velocity, _ = model(video, audio, t, torch.full((2,), 800.0), model.prepare(text))
    for row, given in enumerate((True, False)):
        expected = guess(video, torch.tensor([given, given]), 0.3)
        wanted = to_velocity(torch.zeros_like(video), video, torch.tensor(0.8), expected)
        torch.testing.assert_close(velocity[row, :, 1:], wanted[row, :, 1:])
        per_token = t.repeat_interleave(6, dim=1)
        with torch.no_grad():
            again, _ = model(video, audio, per_token, torch.full((2,), 800.0), model.prepare(text))
        torch.testing.assert_close(again, velocity)


def test_another_kind_of_prediction_is_refused() -> None:
    with pytest.raises(ConfigError, match="'noise'"):
        TransformerConfig(layers=1, dim=8, heads=2, ffn_dim=8, text_dim=8, predicts="noise")
