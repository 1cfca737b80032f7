"""Conditions prepared once and kept for the length of a run, by the rows of the batch they belong to."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from .transformer import Conditions


class PreparedConditions:
    """Rows are told apart by ids that stay the same over a run; a batch is an ordered group of them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Hashable, tuple[Hashable, ...]], Conditions] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, owner: Hashable, rows: Sequence[Hashable], prepare: Callable[[], Conditions]) -> Conditions:
        """What `prepare` made for these rows of `owner` (a model, device and batch size).

        A row is kept in one grouping only: when memory makes a host split a batch in another way, the old grouping is dropped. Without ids
        nothing is kept.
        """
        if not rows:
            return prepare()
        key = (owner, tuple(rows))
        if key not in self._kept:
            for other in [k for k in self._kept if k[0] == owner and set(k[1]) & set(rows)]:
                del self._kept[other]
            self._kept[key] = prepare()
        return self._kept[key]
