"""Steady load: events made now, at BENCH_RATE events a second for BENCH_SECONDS, over BENCH_MODULES modules.

The values are prepared but for their time and their id, so that this program takes little of a machine that it shares with
the worker and the broker. Its progress is what it sent, so it can be checked that it kept its pace.
"""

import asyncio
import os
import time

import uvloop

from bench.report.progress import Progress, Task, tell
from bench.rig.arena import Arena
from bench.rig.workload import module_name
from topology.traffic.batch_sender import batch_sender

_TICK_S = 0.02
# When it falls behind; the times of the events must not.
_MOST_AT_ONCE = 20_000


async def _main() -> None:
    task = Task.from_environment()
    rate, seconds = float(os.environ["BENCH_RATE"]), float(os.environ["BENCH_SECONDS"])
    names = [module_name(number) for number in range(int(os.environ["BENCH_MODULES"]))]
    keys = [name.encode() for name in names]
    heads = [b'{"module_id":"%b","success":true,"response_time_ms":%d.25,"cpu_percent":12.5,"memory_bytes":1000000,'
             b'"goroutines":100,"db_connections":5,"timestamp":' % (key, 5 + number % 90)
             for number, key in enumerate(keys)]  # fmt: skip
    settings = Arena.read(Arena(task.bootstrap_servers).settings(task.run, task.topic, task.partitions))
    progress, modules, sent = Progress(task.events), len(keys), 0
    async with batch_sender(settings, task.topic) as sender:
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            due, now_ms = min(int(passed * rate), sent + _MOST_AT_ONCE), time.time_ns() // 1_000_000
            await sender.send(
                (keys[i % modules], b'%b%d,"event_id":"load-%015d"}' % (heads[i % modules], now_ms, i))
                for i in range(sent, due)
            )
            await sender.flush()
            progress.add(due - sent)
            behind, sent = due - sent == _MOST_AT_ONCE, due
            await asyncio.sleep(0 if behind else _TICK_S)
    tell(verified=sent)


if __name__ == "__main__":
    uvloop.run(_main())
