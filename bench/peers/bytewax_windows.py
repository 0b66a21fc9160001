"""Bytewax: count and sum per module and window. It has no sketch, so it computes no percentiles.

Run as `python -m bytewax.run bench.peers.bytewax_windows`.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op  # type: ignore[import-not-found]
import bytewax.operators.windowing as win  # type: ignore[import-not-found]
import orjson
from bytewax.connectors.kafka import KafkaSource  # type: ignore[import-not-found]
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]
from bytewax.operators.windowing import EventClock, TumblingWindower
from bytewax.outputs import DynamicSink, StatelessSinkPartition  # type: ignore[import-not-found]

from bench.report.progress import Progress, Task

Sums = tuple[int, float]
task = Task.from_environment()
progress = Progress(task.events)


class _Nowhere(StatelessSinkPartition):  # type: ignore[misc]
    def write_batch(self, items: list[Any]) -> None:
        pass


class Nowhere(DynamicSink):  # type: ignore[misc]
    """Takes every result and forgets it."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StatelessSinkPartition:
        """One sink per worker."""
        return _Nowhere()


def fold(sums: Sums, event: dict[str, Any]) -> Sums:
    """Add an event to its window."""
    progress.add()
    return sums[0] + 1, sums[1] + event["response_time_ms"]


def time_of(event: dict[str, Any]) -> datetime:
    """Event time."""
    return datetime.fromtimestamp(event["timestamp"] / 1000, UTC)


flow = Dataflow("bench")
source = KafkaSource([task.bootstrap_servers], [task.topic], tail=True, batch_size=1000)
messages = op.input("input", flow, source)
keyed = op.map("decode", messages, lambda message: (message.key.decode(), orjson.loads(message.value)))
windows = win.fold_window(
    "windows",
    keyed,
    EventClock(time_of, wait_for_system_duration=timedelta(milliseconds=task.grace_ms)),
    TumblingWindower(timedelta(milliseconds=task.window_ms), align_to=datetime(1970, 1, 1, tzinfo=UTC)),
    lambda: (0, 0.0),
    fold,
    lambda one, other: (one[0] + other[0], one[1] + other[1]),
)
op.output("output", windows.down, Nowhere())
