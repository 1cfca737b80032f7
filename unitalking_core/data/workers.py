"""Processes that make a corpus side by side: fresh ones of one thread each, that leave Ctrl-C to the process that began them."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def side_by_side(count: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """A `map` in order over so many processes, or this one where 1 is enough. Raises ValueError for fewer."""
    if count < 1:
        raise ValueError(f"there must be at least 1 worker, got {count}")
    if count == 1:
        yield map
        return
    # Fresh processes: a forked one could inherit a lock held by one of torch's threads.
    pool = multiprocessing.get_context("spawn").Pool(count, _begin)
    try:
        yield pool.imap
    finally:
        pool.terminate()
        pool.join()


def _begin() -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
