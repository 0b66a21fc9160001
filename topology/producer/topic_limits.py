"""How large a batch each topic takes: its `max.message.bytes`, asked once where it matters and where we may ask.

Usual batches stay below what topics take by default, so nobody is asked about them. A large letter makes us ask, and so does a
batch that was refused; where we may not ask, the bound is halved until the topic takes it.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from topology.records.outgoing import MAX_BATCH_BYTES

log = structlog.get_logger()

# What `modpulse topics create` gives to the topics of letters and of forwarded records.
WANTED_BYTES = 8 << 20
# Beyond it even a topic that takes more gets none: a letter is held in memory two or three times while it is written.
MOST_BYTES = 16 << 20


class TopicLimits:
    """The bounds one producer goes by. What was learned stays until the process ends."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Ask nobody yet.

        Args:
            options: of the client that asks.
        """
        self._options = options
        self._known: dict[str, int] = {}

    def batch_bytes(self, topic: str) -> int:
        """What a batch of several records may have."""
        return min(self._known.get(topic, MAX_BATCH_BYTES), MAX_BATCH_BYTES)

    async def record_bytes(self, topic: str) -> int:
        """What a batch of one record may have."""
        if topic not in self._known:
            self._known[topic] = min(await self._ask(topic) or WANTED_BYTES, MOST_BYTES)
        return self._known[topic]

    async def refused(self, topic: str, size_bytes: int) -> int:
        """A batch of this size was refused; answers what to go by from now on, which is less."""
        known = await self._ask(topic)
        if known is None or known >= size_bytes:
            known = size_bytes // 2
        self._known[topic] = known
        log.warning("a topic takes smaller batches than it was sent", topic=topic, refused=size_bytes, now=known)
        return known

    async def _ask(self, topic: str) -> int | None:
        """The topic's setting; None where we may not know it, or nobody answers."""
        admin = AIOKafkaAdminClient(**self._options)
        try:
            await admin.start()
            (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            for code, _message, _type, _name, entries in answer.resources:
                if not code:
                    return int({entry[0]: entry[1] for entry in entries}["max.message.bytes"])
        except (KafkaError, OSError) as error:
            log.info("the size a topic takes is not known", topic=topic, error=repr(error))
        finally:
            await admin.close()
        return None
