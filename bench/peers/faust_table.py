"""Stock Faust: count and sum per module and window in a windowed table, as its documentation shows."""

import faust

from bench.report.progress import Progress, Task

task = Task.from_environment()
progress = Progress(task.events)
app = faust.App(
    task.run,
    broker=f"kafka://{task.bootstrap_servers}",
    store="memory://",
    topic_disable_leader=True,
    topic_partitions=task.partitions,
    topic_replication_factor=1,
)


class Event(faust.Record):  # type: ignore[misc]
    """What is read of an event."""

    module_id: str
    timestamp: int
    response_time_ms: float


source = app.topic(task.topic, value_type=Event)
totals = (
    app.Table("totals", default=lambda: [0, 0.0])
    .tumbling(task.window_ms / 1000)
    .relative_to(lambda event: event.value.timestamp / 1000)
)


@app.agent(source)  # type: ignore[untyped-decorator]
async def total(events: faust.Stream) -> None:
    """Add each event to its window."""
    async for event in events:
        count, took_ms = totals[event.module_id].value()
        totals[event.module_id] = [count + 1, took_ms + event.response_time_ms]
        progress.add()


if __name__ == "__main__":
    app.main()
