"""The repartition topic keeps its records until they were processed, and no longer.

Retention by time would delete events that a slow task has not read yet, so there is none. Instead a worker deletes what its tasks
have committed.
"""

from collections.abc import Mapping

import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from topology.kafka.client import client_options
from topology.settings import Settings

log = structlog.get_logger()


class RepartitionTrim:
    """Deletes committed records. A broker that refuses, or is away, costs disk space and stops nothing."""

    def __init__(self, settings: Settings) -> None:
        """Delete nothing yet."""
        self._settings = settings
        self._deleted: dict[int, int] = {}
        self._said: set[type[BaseException]] = set()

    async def delete_before(self, committed: Mapping[int, int]) -> None:
        """Delete from each partition what lies before its offset. To be called about once a minute.

        Each reason for not deleting is logged once, until a deletion succeeds.

        Args:
            committed: the next offset to read, by partition; only of transactions that were committed, for nothing brings a
                deleted record back.
        """
        wanted = {p: offset for p, offset in committed.items() if offset > self._deleted.get(p, 0)}
        if not wanted:
            return
        topic = self._settings.repartition_topic
        admin = AIOKafkaAdminClient(**client_options(self._settings))
        try:
            await admin.start()
            await admin.delete_records({TopicPartition(topic, p): RecordsToDelete(o) for p, o in wanted.items()})
        except (KafkaError, OSError) as error:
            self._say(topic, error)
        else:
            self._deleted.update(wanted)
            self._said.clear()
        finally:
            await admin.close()

    def _say(self, topic: str, error: BaseException) -> None:
        if type(error) in self._said:
            return
        self._said.add(type(error))
        remedy = "it is tried again each minute"
        if isinstance(error, TopicAuthorizationFailedError):
            remedy = "grant DELETE on this topic, or give it a retention.ms beyond the longest backlog"
        log.warning("processed records stay on the repartition topic", topic=topic, error=repr(error), remedy=remedy)
