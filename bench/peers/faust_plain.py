"""Stock Faust: an agent that does nothing with its events."""

import faust

from bench.report.progress import Progress, Task

task = Task.from_environment()
progress = Progress(task.events)
app = faust.App(task.run, broker=f"kafka://{task.bootstrap_servers}", store="memory://", topic_disable_leader=True)


class Event(faust.Record):  # type: ignore[misc]
    """What is read of an event."""

    module_id: str
    timestamp: int
    response_time_ms: float


source = app.topic(task.topic, value_type=Event)


@app.agent(source)  # type: ignore[untyped-decorator]
async def count(events: faust.Stream) -> None:
    """Count them."""
    async for _ in events:
        progress.add()


if __name__ == "__main__":
    app.main()
