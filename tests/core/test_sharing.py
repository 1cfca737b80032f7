"""What the streams share: one object, one name in every state dict, and the arithmetic of two streams with equal weights."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from tiny import tiny_config
from torch import Tensor

from unitalking_core.checkpoint import TRANSFORMER, CheckpointError, load, load_into, save
from unitalking_core.config import BLOCK_MODULES, ConfigError, ModelConfig
from unitalking_core.transformer import UniTalkingTransformer

NAVA = {"sharing": [[0, 0, ["norm3", "ffn"]], [1, 1, list(BLOCK_MODULES)]], "shared_embeddings": ["text_embedding", "time_embedding"]}
BORROWED = (
    "audio.blocks.0.norm3.", "audio.blocks.0.ffn.", "audio.blocks.1.", "audio.text_embedding.", "audio.time_embedding.",
)  # fmt: skip


def config(**options: object) -> ModelConfig:
    return tiny_config().with_options({"transformer": options})


def shared_model(seed: int = 0) -> UniTalkingTransformer:
    torch.manual_seed(seed)
    model = UniTalkingTransformer(config(**NAVA))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def unshared_copy(model: UniTalkingTransformer) -> UniTalkingTransformer:
    """A model that shares nothing and has equal weights in both streams where `model` has one."""
    whole, state = UniTalkingTransformer(config()), model.state_dict()
    whole.load_state_dict({k: state[k.removeprefix("audio.") if k.startswith(BORROWED) else k] for k in whole.state_dict()})
    return whole


def run(model: UniTalkingTransformer, seed: int = 1) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    video, audio, text, voice = (torch.randn(*s, generator=g) for s in ((2, 8, 3, 4, 4), (2, 6, 9), (2, 12, 16), (2, 6, 5)))
    t = torch.tensor([300.0, 700.0])
    out = model(video, audio, t, t, model.prepare(text, voice))
    assert out[0] is not None
    assert out[1] is not None
    return out[0], out[1]


def test_the_twin_holds_the_video_streams_own_modules() -> None:
    model = shared_model()
    (video, video_last), (audio, audio_last) = model.blocks, model.audio.blocks
    assert audio.ffn is video.ffn
    assert audio.norm3 is video.norm3
    assert audio.self_attn is not video.self_attn
    assert all(getattr(audio_last, name) is getattr(video_last, name) for name in BLOCK_MODULES)
    assert model.audio.text_embedding is model.text_embedding
    assert model.audio.voice_embedding is not model.voice_embedding
    twin = copy.deepcopy(model)
    assert twin.audio.blocks[0].ffn is twin.blocks[0].ffn is not video.ffn


def test_every_weight_has_one_name() -> None:
    model = shared_model()
    state = model.state_dict()
    assert len({value.data_ptr() for value in state.values()}) == len(state)
    assert list(state) == [name for name, _ in model.named_parameters()]
    assert not [name for name in state if name.startswith(BORROWED)]
    left = [k for k in UniTalkingTransformer(config()).state_dict() if not k.startswith(BORROWED)]
    assert list(state) == left


def test_saving_and_loading_keeps_the_sharing(tmp_path: Path) -> None:
    model, path = shared_model(), tmp_path / "shared.safetensors"
    save(path, config(**NAVA), {TRANSFORMER: model.state_dict()})
    file = load(path)
    assert file.config == config(**NAVA)
    loaded = UniTalkingTransformer(file.config, device="meta")
    load_into(loaded, file.part(TRANSFORMER), "transformer", torch.float32)
    assert loaded.audio.blocks[0].ffn is loaded.blocks[0].ffn
    assert not any(p.is_meta for p in loaded.parameters())
    for got, want in zip(run(loaded), run(model), strict=True):
        assert torch.equal(got, want)
    with pytest.raises(CheckpointError, match=r"missing: audio\.blocks\.0\.ffn"):
        load_into(UniTalkingTransformer(config(), device="meta"), file.part(TRANSFORMER), "transformer")


def test_forward_equals_two_streams_with_equal_weights_and_gradients_add_up() -> None:
    shared = shared_model()
    whole = unshared_copy(shared)
    for model in (shared, whole):
        video, audio = run(model)
        (video.square().sum() + 2 * audio.square().sum()).backward()
    for got, want in zip(run(shared), run(whole), strict=True):
        torch.testing.assert_close(got, want)
    apart = dict(whole.named_parameters())
    both = 0
    for name, parameter in shared.named_parameters():
        want, twin = apart[name].grad, f"audio.{name}"
        if twin.startswith(BORROWED):
            assert apart[twin].grad.abs().max() > 0
            want, both = want + apart[twin].grad, both + 1
        scale = want.abs().max().clamp(min=1e-6)
        torch.testing.assert_close(parameter.grad / scale, want / scale, atol=1e-4, rtol=1e-3)
    assert both == len(apart) - len(list(shared.parameters()))


def test_rules_that_fit_no_block_are_refused() -> None:
    with pytest.raises(ConfigError, match="blocks 1 to 2; the model has blocks 0 to 1"):
        config(sharing=[[1, 2, ["ffn"]]])
    with pytest.raises(ConfigError, match="sharing names wings"):
        config(sharing=[[0, 1, ["wings"]]])
    with pytest.raises(ConfigError, match="shared_embeddings names patch_embedding"):
        config(shared_embeddings=["patch_embedding"])
    with pytest.raises(ConfigError, match="no group 'wings'"):
        tiny_config().with_options({"wings": {}})
