"""The order of records in training, a choice spread over them, and whole batches of records that are in memory."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Int

T = TypeVar("T")


def spread_evenly(items: Sequence[T], count: int) -> list[T]:
    """`count` of the items at equal distances, the first and the last among them; all where there are no more."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(count, len(items))).astype(int)]


class Order:
    """An endless sequence of records: one permutation of them after the other."""

    def __init__(self, records: int, seed: int):
        self._records = records
        self._permutation = functools.lru_cache(maxsize=4)(
            lambda epoch: np.random.default_rng((seed, epoch)).permutation(records)
        )

    def __call__(self, index: int) -> int:
        """The record at a place of the sequence."""
        return int(self.many(np.array([index]))[0])

    def many(self, indices: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
        """The records at several places."""
        epochs, places = np.divmod(indices, self._records)
        found = np.empty_like(places)
        for epoch in np.unique(epochs):
            now = epochs == epoch
            found[now] = self._permutation(int(epoch))[places[now]]
        return found


@runtime_checkable
class Table(Protocol):
    """Records in memory, indexed one at a time or many at once."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int | np.ndarray) -> dict[str, Any]:
        """The record of a number; of an array of numbers the records, stacked."""


def table_batch(
    table: Table, order: Order | None, batch: int, *, first: int, step: int, size: int
) -> dict[str, np.ndarray]:
    """A batch of a table by its number; a record at a time, Python would be slower than a small network's step.

    Args:
      order: in which they come; their own if None.
      first, step: a batch continues with every `step`-th sample, the first batch begins with `first`.

    Returns:
      The records stacked, with `index` and `record` as `pipeline.build` has them.
    """
    index = first + step * (batch * size + np.arange(size, dtype=np.int64))
    record = index % len(table) if order is None else order.many(index)
    return {**table[record], "record": record, "index": index}
