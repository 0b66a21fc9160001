"""A batch of accepted events as columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import F8, I8

Mask = NDArray[np.bool_]
Choice = I8 | Mask | slice


@dataclass(frozen=True, slots=True)
class Columns:
    """Valid events in offset order, all arrays of length n.

    Attributes:
        codes: module codes. times: event time, ms. offsets: Kafka offsets.
        successes: bool. response_ms: finite, >= 0, no -0.0.
        gauges: for memory, goroutines, connections: values with -1 where not sent, or None where no event sent it.
        cpu: percent with NaN where not sent, or None where no event sent it.
        ids: 64-bit hashes of (module, event_id), or None with duplicate suppression off.
        has_id: where an event_id was sent.
        old_ids: the same hashes as version 1 made them, while ids are remembered that it stored.
    """

    codes: I8
    times: I8
    offsets: I8
    successes: Mask
    response_ms: F8
    gauges: tuple[I8 | None, I8 | None, I8 | None]
    cpu: F8 | None
    ids: NDArray[np.uint64] | None
    has_id: Mask | None
    old_ids: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, where: Choice) -> "Columns":
        """The chosen events, in the order given."""
        first, second, third = (None if gauge is None else gauge[where] for gauge in self.gauges)
        return Columns(
            self.codes[where],
            self.times[where],
            self.offsets[where],
            self.successes[where],
            self.response_ms[where],
            (first, second, third),
            None if self.cpu is None else self.cpu[where],
            None if self.ids is None else self.ids[where],
            None if self.has_id is None else self.has_id[where],
            None if self.old_ids is None else self.old_ids[where],
        )


def join_columns(parts: Sequence[Columns]) -> Columns | None:
    """Several parts of one batch as one, in offset order."""
    if len(parts) < 2:
        return parts[0] if parts else None
    lengths = [len(part) for part in parts]
    gauges = [_join([part.gauges[gauge] for part in parts], lengths, -1) for gauge in range(len(parts[0].gauges))]
    joined = Columns(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.offsets for part in parts]),
        np.concatenate([part.successes for part in parts]),
        np.concatenate([part.response_ms for part in parts]),
        (gauges[0], gauges[1], gauges[2]),
        _join([part.cpu for part in parts], lengths, np.nan),
        _join([part.ids for part in parts], lengths, 0),
        _join([part.has_id for part in parts], lengths, fill=False),
        _join([part.old_ids for part in parts], lengths, 0),
    )
    return joined.take(np.argsort(joined.offsets, kind="stable"))


def _join(columns: Sequence[Any], lengths: Sequence[int], fill: float) -> Any:
    """Columns one after the other; one that is None is filled, and when all are None so is the answer."""
    dtypes = [column.dtype for column in columns if column is not None]
    if not dtypes:
        return None
    pairs = zip(columns, lengths, strict=True)
    return np.concatenate([np.full(n, fill, dtypes[0]) if column is None else column for column, n in pairs])
