"""Quix Streams: count and sum per module and window. It has no sketch, so it computes no percentiles."""

import tempfile
from datetime import timedelta
from typing import Any

from quixstreams import Application  # type: ignore[import-not-found]
from quixstreams.dataframe.windows import Count, Sum  # type: ignore[import-not-found]

from bench.report.progress import Progress, Task


def main() -> None:
    task = Task.from_environment()
    progress = Progress(task.events)
    app = Application(
        broker_address=task.bootstrap_servers,
        consumer_group=task.run,
        auto_offset_reset="earliest",
        commit_interval=1.0,
        state_dir=tempfile.mkdtemp(prefix="bench-quix-"),
        loglevel="WARNING",
    )
    source = app.topic(
        task.topic, value_deserializer="json", timestamp_extractor=lambda value, *_: int(value["timestamp"])
    )
    events = app.dataframe(source).update(lambda _: progress.add())
    windows = events.tumbling_window(
        timedelta(milliseconds=task.window_ms), grace_ms=timedelta(milliseconds=task.grace_ms), on_late=_late
    ).agg(count=Count(), total=Sum("response_time_ms"))
    windows.final().update(lambda _: None)
    app.run()


def _late(*details: Any) -> bool:
    raise SystemExit(f"an event was late: {details}")


if __name__ == "__main__":
    main()
