"""A file of events to the input topic: keyed by module, routed as Kafka's default partitioner does, all acknowledged."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from topology.producer.event_key import key_of
from topology.runtime.progress import Progress
from topology.settings import Settings
from topology.traffic.batch_sender import batch_sender

_CHUNK_LINES = 2_000


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a file.

    Attributes:
        records: sent and acknowledged.
        keyless: of these, how many name no module.
        too_large: lines that fit in no batch of the topic; they were not sent.
        seconds: how long it took.
    """

    records: int
    keyless: int
    too_large: int
    seconds: float


async def publish(settings: Settings, lines: Iterable[bytes], progress: Progress) -> Published:
    """Send every line as one record to the input topic and wait until the broker has all of them.

    Raises:
        ConfigError: the topic is missing, or the lines cannot be read.
        BrokerUnavailable: no broker answers.
    """
    keyless = 0
    source = iter(lines)
    async with batch_sender(settings, settings.topics.module_log_events) as sender:
        while records := list(_keyed(islice(source, _CHUNK_LINES))):
            keyless += sum(key is None for key, _ in records)
            await sender.send(records)
            progress.reached(sender.sent)
    return Published(sender.sent, keyless, sender.too_large, progress.seconds)


def _keyed(lines: Iterable[bytes]) -> Iterator[tuple[bytes | None, bytes]]:
    for line in lines:
        yield key_of(line), line
