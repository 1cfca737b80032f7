"""What the transformer saves by construction, as ratios against a named baseline in the same run: `python -m benchmarks.transformer`.

Both sides run alternately, so that a noisy machine slows both; a ratio above 1 says how many times longer the baseline takes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from unitalking_core.presets import nano
from unitalking_core.tasks import AUDIO_FOLLOWS, JOINT
from unitalking_core.transformer import UniTalkingTransformer
from unitalking_core.transformer.operations import attend

Step = Callable[[], object]


def ratio(name: str, baseline: Step, ours: Step, rounds: int) -> None:
    """Print the median of baseline / ours over alternating rounds, with the quartiles."""
    baseline(), ours()
    ratios = []
    for _ in range(rounds):
        start = time.perf_counter()
        baseline()
        middle = time.perf_counter()
        ours()
        ratios.append((middle - start) / (time.perf_counter() - middle))
    low, median, high = statistics.quantiles(ratios, n=4)
    print(f"{name:<58} {median:5.2f}x  (quartiles {low:.2f} .. {high:.2f}, {rounds} rounds)")


def main() -> None:
    """Nano's shape at twice its width, one clip of four seconds, a batch of two passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.manual_seed(0)
    config = nano()
    config = replace(config, transformer=replace(config.transformer, dim=384, heads=3, ffn_dim=1536))
    model = UniTalkingTransformer(config).eval()
    clip = config.timeline.clip(4.0)
    video = torch.randn(2, config.video.channels, clip.video_latents, 8, 8)
    audio = torch.randn(2, config.audio.channels, clip.audio_tokens)
    text = torch.randn(2, config.text.tokens, config.transformer.text_dim)
    voice = torch.randn(2, config.audio.channels, config.audio.max_voice_tokens)
    t = torch.full((2,), 500.0)
    conditions = model.prepare(text, voice)
    lengths = clip.video_latents * 16, clip.audio_tokens
    mask = torch.ones(sum(lengths), sum(lengths), dtype=torch.bool)
    mask[: lengths[0], lengths[0] :] = False

    def masked(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        if q.shape[1] != len(mask) or k.shape[1] != len(mask):
            return attend(q, k, v, heads)
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)

    with torch.inference_mode():
        ratio(
            "step, conditions prepared every step / once",
            lambda: model(video, audio, t, t, model.prepare(text, voice)),
            lambda: model(video, audio, t, t, conditions),
            rounds,
        )
        ratio(
            "step for a given video, dense mask / two smaller calls",
            lambda: model(video, audio, t, t, conditions, JOINT, attend=masked),
            lambda: model(video, audio, t, t, conditions, AUDIO_FOLLOWS),
            rounds,
        )


if __name__ == "__main__":
    main()
