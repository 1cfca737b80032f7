"""What the streams share: one object, one name in every state dict, and the arithmetic of two streams with equal weights."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
import torch
from reference import GOLDEN
from tiny import tiny_config
from torch import Tensor

from unitalking_core.checkpoint import TRANSFORMER, CheckpointError, load, load_into, save
from unitalking_core.config import BLOCK_MODULES, ConfigError, ModelConfig
from unitalking_core.transformer import UniTalkingTransformer

NAVA = {"sharing": [[0, 0, ["norm3", "ffn"]], [1, 1, list(BLOCK_MODULES)]], "shared_embeddings": ["text_embedding", "time_embedding"]}
BORROWED = (
    "audio.blocks.0.norm3.", "audio.blocks.0.ffn.", "audio.blocks.1.", "audio.text_embedding.", "audio.time_embedding.",
)  # fmt: skip
OTHERWISE = re.compile("patch_embedding_audio|speaker_embedding")
"""Of NAVA, what is no matter of sharing: how it embeds sound and a voice."""


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


def test_navas_layout_has_navas_weights() -> None:
    """Every tensor of NAVA's blocks and shared embeddings, as often and as large as in its own code (our second condition aside)."""
    theirs = {name: value for name, value in json.loads((GOLDEN / "nava_6b.json").read_text()).items() if not OTHERWISE.match(name)}
    nava = {
        "sharing": [[0, 9, ["norm3", "ffn"]], [10, 29, list(BLOCK_MODULES)]],
        "shared_embeddings": ["text_embedding", "time_embedding", "time_projection"],
    }
    big = tiny_config(layers=30, dim=3072, heads=24, ffn_dim=14336, text_dim=4096, freq_dim=256, video_channels=48, audio_channels=128)
    found: dict[str, list] = {}
    for name, value in UniTalkingTransformer(big.with_options({"transformer": nava}), device="meta").state_dict().items():
        if "voice" not in name and not OTHERWISE.match(_as_nava(name)):
            found.setdefault(_as_nava(name), [0, list(value.shape)])[0] += 1
    assert found == theirs


def _as_nava(name: str) -> str:
    """`audio.blocks.3.self_attn.q.weight` -> `double_blocks.*.self_attn.q_audio.weight`."""
    audio, name = name.startswith("audio."), name.removeprefix("audio.")
    if match := re.match(r"blocks\.(\d+)\.(.*)", name):
        kind = "double" if int(match[1]) < 10 else "single"
        name = f"{kind}_blocks.*.{match[2].replace('modulation.weight', 'modulation.modulation')}"
        if audio:
            name = re.sub(r"modulation(?=\.modulation)|(?<=attn\.)\w+", r"\g<0>_audio", name)
    elif audio:
        name = re.sub(r"^\w+", r"\g<0>_audio", name)
    return name.replace("head.modulation.weight", "head.modulation").replace("head_audio.modulation.weight", "head_audio.modulation")


def test_rules_that_fit_no_block_are_refused() -> None:
    with pytest.raises(ConfigError, match="blocks 1 to 2; the model has blocks 0 to 1"):
        config(sharing=[[1, 2, ["ffn"]]])
    with pytest.raises(ConfigError, match="sharing names wings"):
        config(sharing=[[0, 1, ["wings"]]])
    with pytest.raises(ConfigError, match="shared_embeddings names patch_embedding"):
        config(shared_embeddings=["patch_embedding"])
    with pytest.raises(ConfigError, match="no group 'wings'"):
        tiny_config().with_options({"wings": {}})
