"""A function over a long stream in worker processes: results in order, and never more than a few items in memory."""

import collections
import concurrent.futures
import itertools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from bert_jax.child_processes import end_with_parent
from bert_jax.ctrl_c import kept_from_children

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 16  # items that travel together
_AHEAD = 4  # chunks on their way for each worker


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], num_workers: int) -> Iterator[Result]:
    """Like map(); in this process if `num_workers` is 1. Workers end when this process does, however it ends."""
    if num_workers <= 1:
        yield from map(function, items)
        return
    # Not fork: threads of the libraries that are loaded here would not survive it.
    context = multiprocessing.get_context("spawn")
    chunks = _chunks(items)
    with concurrent.futures.ProcessPoolExecutor(num_workers, context, end_with_parent) as pool:
        try:
            first = list(itertools.islice(chunks, num_workers * _AHEAD))
            with kept_from_children():  # each `submit` starts one, until all are there
                waiting = collections.deque(pool.submit(_apply, function, chunk) for chunk in first)
            while waiting:
                results = waiting.popleft().result()
                waiting.extend(pool.submit(_apply, function, chunk) for chunk in itertools.islice(chunks, 1))
                yield from results
        finally:
            pool.shutdown(cancel_futures=True)


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, _CHUNK)):
        yield chunk


def _apply(function: Callable[[Item], Result], chunk: list[Item]) -> list[Result]:
    return [function(item) for item in chunk]
