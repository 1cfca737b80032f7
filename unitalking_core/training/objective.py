"""The flow-matching loss: what is given enters clean at t = 0, and only what is generated is compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..checkpoint import TEXT_ENCODER, TRANSFORMER
from ..conditions.text import LEARNED, NanoTextEncoder, build_text_encoder
from ..config import ModelConfig
from ..flow import interpolate, target
from ..initialisation import initial
from ..prediction import loss_weight
from ..transformer import UniTalkingTransformer
from ..transformer.model import RunBlock
from ..transformer.operations import Attend
from ..transformer.operations import attend as plain_attend
from .attention import attend_by_products
from .batches import Batch
from .conditions import conditions_for_training
from .likeness import Likeness
from .looking import Looking

MOST_MOTION = 8.0


@dataclass(frozen=True)
class Losses:
    """Mean squared velocity errors per row and stream, 0 where the row generates nothing of it; `total` is what training lowers.

    `likeness`: how far each row's voice is from its reference's, where that is asked for.
    """

    total: Tensor
    video: Tensor | None
    audio: Tensor
    likeness: Tensor | None = None


class Learner(nn.Module):
    """The transformer and its text encoder, if that is learned: everything that a run trains. Parameter names are those of the checkpoint.

    `run_block` may wrap the transformer's blocks, as `checkpointed` does.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.run_block: RunBlock | None = None
        self.start: dict[str, Tensor] = {}
        self.likeness: Likeness | None = None
        self.transformer = UniTalkingTransformer(config)
        learned = config.text.encoder in LEARNED
        self.text_encoder: NanoTextEncoder | None = build_text_encoder(config.text, config.transformer.text_dim) if learned else None
        self.config = config
        initialise(self.transformer)

    def forward(
        self,
        batch: Batch,
        motion: float = 0.0,
        mouth: float = 0.0,
        weights: Mapping[str, float] | None = None,
        counts: Mapping[str, float] | None = None,
        look: float = 0.0,
        keep: float = 0.0,
        like: float = 0.0,
    ) -> Losses:
        """`motion` and `mouth` as in `place_weights`; `weights` of the streams' means, 1 where they are not told; `look` of `Looking`;
        `keep`: how much of what is aimed at is what the weights of `remember_start` made of the same batch; `like` of `Likeness`.

        `counts`: what the streams' sums are divided by, where this batch is a part of a step (`generated` of all its batches).
        """
        assert batch.audio_noise is not None
        wanted = {"audio": target(batch.audio, batch.audio_noise)}
        masks = {"audio": batch.audio_mask}
        if batch.video is not None:
            assert batch.video_noise is not None and batch.video_mask is not None
            wanted["video"], masks["video"] = target(batch.video, batch.video_noise), batch.video_mask
        if keep:
            with torch.no_grad(), self._as_at_start():
                earlier = self._velocities(batch, self._attend(batch))
            wanted = {name: data.lerp(earlier[name], keep) for name, data in wanted.items()}
        attend, looking = self._attend(batch), None
        if look and batch.video is not None:
            looking = Looking(batch, self.transformer.grid(batch.video.shape), self.config.timeline)
            attend = looking.watching(attend)
        made = self._velocities(batch, attend)
        errors = {"audio": _error(made["audio"], wanted["audio"], batch.audio_mask)}
        if batch.video is not None:
            level, places = self._levels(batch.s, masks["video"][:, 0] == 0), place_weights(batch, motion, mouth)
            errors["video"] = _error(made["video"], wanted["video"], masks["video"], places) * level
        counts, weights = counts or generated([batch]), weights or {}
        means = [weights.get(name, 1.0) * error.sum() / max(1.0, counts[name]) for name, error in errors.items()]
        rows = {name: error.detach().sum(1) / masks[name].sum(1).clamp(min=1) for name, error in errors.items()}
        if looking is not None:
            means.append(look * looking.loss() * batch.audio_mask.sum() / max(1.0, counts["audio"]))
        far = None
        if like:
            assert self.likeness is not None
            unlike, far = self.likeness.loss(self.transformer, self.encode_text(batch), batch, self._attend(batch), self.run_block)
            means.append(like * unlike * batch.audio_mask.sum() / max(1.0, counts["audio"]))
        return Losses(torch.stack(means).sum(), rows.get("video"), rows["audio"], far)

    def _attend(self, batch: Batch) -> Attend:
        return attend_by_products if batch.audio.device.type == "cpu" else plain_attend

    def _velocities(self, batch: Batch, attend: Attend) -> dict[str, Tensor]:
        """What the model makes of a noised batch, in float32."""
        conditions = conditions_for_training(
            self.transformer, self.encode_text(batch), batch.voice, batch.gate, video=batch.video is not None
        )
        s = batch.s
        assert batch.audio_noise is not None
        audio = _mixed(batch.audio, batch.audio_noise, s, batch.audio_mask)
        t_audio = 1000 * s[:, None] * batch.audio_mask
        if batch.whole:
            t_audio = t_audio[:, 0]
        video = t_video = None
        if batch.video is not None:
            assert batch.video_noise is not None and batch.video_mask is not None
            video, t_video = _mixed(batch.video, batch.video_noise, s, batch.video_mask), 1000 * s[:, None] * batch.video_mask
        made = self.transformer(video, audio, t_video, t_audio, conditions, batch.visibility, attend=attend, run_block=self.run_block)
        return {name: v.float() for name, v in zip(("video", "audio"), made, strict=True) if v is not None}

    def remember_start(self, trained: Callable[[str], bool]) -> None:
        """Keep the parameters that will be trained as they are now, for `keep`."""
        self.start = {name: p.detach().clone() for name, p in self.named_parameters() if trained(name)}

    @contextmanager
    def _as_at_start(self) -> Iterator[None]:
        own = dict(self.named_parameters())
        now = {name: own[name].data for name in self.start}
        for name, tensor in self.start.items():
            own[name].data = tensor
        try:
            yield
        finally:
            for name, tensor in now.items():
                own[name].data = tensor
            torch.clear_autocast_cache()  # it holds the start's weights in half precision, and without gradients

    def parts(self) -> dict[str, nn.Module]:
        """What is trained, by the parts of a checkpoint."""
        parts: dict[str, nn.Module] = {TRANSFORMER: self.transformer}
        return parts if self.text_encoder is None else parts | {TEXT_ENCODER: self.text_encoder}

    def encode_text(self, batch: Batch) -> Tensor:
        """What a batch's rows say (B, tokens, text_dim), exact zeros past their ends."""
        longest = max(1, batch.longest)
        text = batch.text[:, :longest]
        if self.text_encoder is not None:
            text = self.text_encoder(text, batch.lengths)
        return F.pad(text, (0, 0, 0, self.config.text.tokens - longest))

    def _levels(self, s: Tensor, first_given: Tensor) -> Tensor:
        """Weights (B, 1) of the video's squared velocity errors by noise level: where the head gives data, they count by what it gave."""
        if self.config.transformer.predicts == "velocity":
            return torch.ones_like(s[:, None])
        return loss_weight(s, torch.where(first_given, self.config.video.change, 1.0))[:, None]


def generated(batches: Iterable[Batch]) -> dict[str, float]:
    """How many video latents and audio tokens all these batches generate."""
    counts = {"video": 0.0, "audio": 0.0}
    for batch in batches:
        counts["audio"] += batch.audio_mask.sum().item()
        counts["video"] += 0.0 if batch.video_mask is None else batch.video_mask.sum().item()
    return counts


def checkpointed(_: int, block: Callable[..., Any], video: Tensor | None, audio: Tensor | None) -> Any:
    """A transformer's `run_block` that keeps a block's inputs only and computes it again on the way back."""
    return checkpoint(block, video, audio, use_reentrant=False, preserve_rng_state=False)


@torch.no_grad()
def initialise(transformer: UniTalkingTransformer) -> None:
    """Draw all weights anew, as `initialisation` says."""
    for name, parameter in transformer.named_parameters():
        parameter.copy_(initial(name, parameter.shape))


def _mixed(data: Tensor, noise: Tensor, s: Tensor, mask: Tensor) -> Tensor:
    """Data (B, C, L, ...) noised where the mask (B, L) says so."""
    level = s[:, None] * mask
    return interpolate(data, noise, level.reshape(len(data), 1, -1, *[1] * (data.ndim - 3)))


def place_weights(batch: Batch, motion: float, mouth: float) -> Tensor:
    """Weights (B, 1, 1, h, w), 1 on average over each picture: 1 + motion x the place's share of the clip's motion + mouth x its part
    of the mouth, then scaled."""
    assert batch.video is not None
    moving = batch.video.var(dim=2).mean(1)
    share = moving / moving.mean((1, 2), keepdim=True).clamp(min=1e-6)
    weight = 1 + motion * share.clamp(max=MOST_MOTION)
    if batch.mouth is not None:
        weight = weight + mouth * batch.mouth
    return (weight / weight.mean((1, 2), keepdim=True))[:, None, None]


def _error(velocity: Tensor, wanted: Tensor, mask: Tensor, places: Tensor | None = None) -> Tensor:
    """Squared errors per latent or token, 0 where given (B, L); `places` weighs those of a picture (B, 1, 1, h, w)."""
    error = (velocity - wanted).square()
    if places is not None:
        error = error * places
    return error.transpose(1, 2).flatten(2).mean(2) * mask
