"""Clips of several lengths: a batch is one tensor, so clips of the same shape stand together in a bucket and a batch is of one bucket.

Longer clips come in smaller batches, so that every batch costs about the same memory and time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .latents import Entry


@dataclass(frozen=True)
class Bucket:
    """Clips of one shape, `rows` of them in a batch. `key` names the order in which they come."""

    entries: tuple[Entry, ...]
    rows: int
    key: str

    def draw(self, step: int) -> list[Entry]:
        """The clips of this step, from endless shuffled rounds through all of them."""
        picked = []
        for number in range(step * self.rows, (step + 1) * self.rows):
            turn, place = divmod(number, len(self.entries))
            picked.append(self.entries[_order(f"{self.key}/round {turn}", len(self.entries))[place]])
        return picked


def form_buckets(entries: Sequence[Entry], *, video: bool, batch: int, key: str) -> list[Bucket]:
    """Buckets by the shape of the sound, and of the video where `video` says that it is used; clips without it are then left out.

    `batch` is how many rows the shortest clips have; a clip twice as long has half as many, at least one.
    """
    groups: dict[tuple, list[Entry]] = {}
    for entry in entries:
        if not video:
            groups.setdefault((entry.audio[1],), []).append(entry)
        elif entry.video is not None:
            groups.setdefault((entry.audio[1], entry.video[1]), []).append(entry)
    tokens = {shape: shape[0][1] for shape in groups}
    shortest = min(tokens.values(), default=1)
    return [Bucket(tuple(groups[shape]), max(1, round(batch * shortest / tokens[shape])), key) for shape in sorted(groups)]


def choose_bucket(buckets: Sequence[Bucket], key: str) -> Bucket:
    """One of them, in proportion to their clips; the same `key` gives the same one."""
    return random.Random(key).choices(buckets, [len(bucket.entries) for bucket in buckets])[0]


@lru_cache(maxsize=16)
def _order(key: str, count: int) -> tuple[int, ...]:
    order = list(range(count))
    random.Random(key).shuffle(order)
    return tuple(order)
