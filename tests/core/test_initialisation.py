"""How weights begin."""

from __future__ import annotations

import torch
from tiny import tiny_config

from unitalking_core.initialisation import initial
from unitalking_core.training.objective import initialise
from unitalking_core.transformer import UniTalkingTransformer


def test_each_weight_begins_as_its_name_says() -> None:
    torch.manual_seed(0)
    model = UniTalkingTransformer(tiny_config())
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 7.0)
    initialise(model)
    state = model.state_dict()
    assert (state["audio.blocks.1.self_attn.norm_q.weight"] == 1).all()
    assert not state["blocks.0.ffn.0.bias"].any()
    assert not state["head.head.weight"].any()
    gates = state["blocks.1.modulation.weight"][0].unbind()
    assert [float(row.unique()) for row in gates] == [0, 0, torch.tensor(0.4), 0, 0, torch.tensor(0.4)]
    bound = (6 / (48 + 64)) ** 0.5
    assert 0.98 * bound < float(state["blocks.0.ffn.0.weight"].abs().max()) <= bound
    bound = (6 / (48 + 8 * 4)) ** 0.5  # a patch's pixels are one input
    assert 0.98 * bound < float(state["patch_embedding.weight"].abs().max()) <= bound
    assert abs(float(state["time_projection.1.weight"].std()) - 0.02) < 1e-3
    assert abs(float(state["audio.head.modulation.weight"].std()) - 48**-0.5) < 0.05


def test_an_untrained_model_predicts_zero() -> None:
    model = UniTalkingTransformer(tiny_config())
    initialise(model)
    conditions = model.prepare(torch.randn(1, 12, 16), torch.randn(1, 6, 5))
    with torch.no_grad():
        video, audio = model(torch.randn(1, 8, 2, 4, 4), torch.randn(1, 6, 9), torch.ones(1), torch.ones(1), conditions)
    assert not video.any()
    assert not audio.any()


def test_a_weight_depends_on_its_generator_alone() -> None:
    first, again, other = (initial("blocks.0.ffn.0.weight", (4, 3), torch.Generator().manual_seed(n)) for n in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
