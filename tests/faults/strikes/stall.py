"""One partition whose new records readers may not see yet, while others go on.

A transaction that is held open is the end of what a reader of committed records gets; what other producers append behind it
waits too, though the log goes on. That is how a slow writer looks to everybody else.
"""

from types import TracebackType
from typing import Any, Self

import orjson
from confluent_kafka import Producer

from tests.faults.traffic import module_name, wall_ms
from tests.truth import partition_of

DEADLINE_S = 30.0


class Held:
    """A transaction with one good event in a partition: open within the context, committed at its end."""

    def __init__(self, servers: str, topic: str, partition: int, partitions: int, seed: int) -> None:
        self._topic = topic
        self._partition = partition
        names = (module_name(number) for number in range(1_000))
        self._module = next(name for name in names if partition_of(name, partitions) == partition)
        self._producer: Any = Producer(
            {
                "bootstrap.servers": servers,
                "transactional.id": f"{topic}-held-{partition}-{seed}",
                "transaction.timeout.ms": 60_000,
                "log_level": 0,
            }
        )
        self.behind = 0

    def __enter__(self) -> Self:
        self._producer.init_transactions(DEADLINE_S)
        self._producer.begin_transaction()
        event = {"module_id": self._module, "timestamp": wall_ms(), "success": True, "response_time_ms": 1.0}
        self._producer.produce(self._topic, orjson.dumps(event), self._module.encode(), self._partition)
        if self._producer.flush(DEADLINE_S):
            raise RuntimeError("the event that holds its partition back was not written")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer.commit_transaction(DEADLINE_S)
