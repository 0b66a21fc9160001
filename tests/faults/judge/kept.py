"""Keeps what comes by on a topic whose records do not stay: the worker deletes what it has processed of the repartition topic."""

import threading

from confluent_kafka import TopicPartition

from tests.faults.judge.reader import Record, consumer, partitions_of, streamed, taken


class Kept:
    """A thread that reads a topic from its beginning for as long as the context lasts."""

    def __init__(self, servers: str, topic: str) -> None:
        self._servers, self._topic = servers, topic
        self._found: list[Record] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kept")

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def records(self) -> list[Record]:
        """Everything that ever stood in the topic, to its end now; partition by partition. To be called when it has ended."""
        newest: dict[int, int] = {}
        for record in self._found:
            newest[record.partition] = record.offset + 1
        self._found += streamed(self._servers, self._topic, newest)
        return sorted(self._found, key=lambda record: (record.partition, record.offset))

    def _run(self) -> None:
        reader = consumer(self._servers, **{"auto.offset.reset": "error"})
        try:
            wanted = partitions_of(reader, self._topic)
            reader.assign([TopicPartition(self._topic, partition, 0) for partition in wanted])
            while not self._stop.is_set():
                self._found += taken(reader, set())
        finally:
            reader.close()
