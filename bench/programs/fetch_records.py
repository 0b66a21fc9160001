"""Limit: plain aiokafka, `getmany` of ConsumerRecords and nothing else."""

import uvloop
from aiokafka import AIOKafkaConsumer

from bench.programs.reading import fetches
from bench.report.progress import Progress, Task
from topology.consumer.transport import PIECE_RECORDS


async def _main() -> None:
    task = Task.from_environment()
    progress = Progress(task.events)
    async for found in fetches(task, AIOKafkaConsumer, PIECE_RECORDS):
        progress.add(sum(map(len, found.values())))
        if progress.done:
            return


if __name__ == "__main__":
    uvloop.run(_main())
