"""Two read-only questions to the broker that aiokafka does not ask itself, and the answers as plain values.

`describe_topics` asks for the topics by name without creating them, for their ids, and for what we may do with each
(Metadata v10, Kafka 2.8+; v8, Kafka 2.3+, has no ids). `quorum_time` reads the clock of the cluster's controller
(DescribeQuorum v1, Kafka 3.3+ with KRaft).
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from uuid import UUID

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

# Bits of the operations a topic allows, in Kafka's AclOperation numbering.
OPERATION_BITS = {"READ": 3, "WRITE": 4, "CREATE": 5, "DELETE": 6, "DESCRIBE": 8}
_QUORUM_TOPIC = "__cluster_metadata"
_FORBIDDEN: str = errors.TopicAuthorizationFailedError.__name__


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String()), ("port", Int32), ("rack", String()))),
        ("cluster_id", String()),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", String()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String())),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_operations", Boolean),
        ("include_topic_operations", Boolean),
    )


class _Uuid(AbstractType):  # type: ignore[misc]
    """16 bytes; the broker's id of a topic."""

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


_NO_ID = UUID(int=0)


class _MetadataResponseWithIds(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequestStructWithIds(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponseWithIds
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString()), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_operations", Boolean),
        ("include_topic_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct | _MetadataRequestStructWithIds]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(
        self, struct: type[_MetadataRequestStruct | _MetadataRequestStructWithIds]
    ) -> _MetadataRequestStruct | _MetadataRequestStructWithIds:
        if struct is _MetadataRequestStructWithIds:
            return struct([(_NO_ID, name, {}) for name in self._topics], False, False, True, {})
        return struct(self._topics, False, False, True)


_REPLICA = (
    ("replica_id", Int32),
    ("log_end_offset", Int64),
    ("last_fetch_timestamp", Int64),
    ("last_caught_up_timestamp", Int64),
    ("tags", TaggedFields),
)


class _QuorumResponse(Response):  # type: ignore[misc]
    API_KEY = 55
    API_VERSION = 1
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("name", CompactString()),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", CompactArray(*_REPLICA)),
                        ("observers", CompactArray(*_REPLICA)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _QuorumRequestStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 55
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _QuorumResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("name", CompactString()),
                ("partitions", CompactArray(("partition", Int32), ("tags", TaggedFields))),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _QuorumRequest(Request[_QuorumRequestStruct]):  # type: ignore[misc]
    API_KEY = 55

    def build(self, struct: type[_QuorumRequestStruct]) -> _QuorumRequestStruct:
        return struct([(_QUORUM_TOPIC, [(0, {})], {})], {})


@dataclass(frozen=True, slots=True)
class TopicState:
    """What the broker says of one topic.

    Attributes:
        name: the topic.
        topic_id: the broker's id of it, as text: a topic that was deleted and made anew has another one. Empty when the broker
            does not tell.
        partitions: how many it has; 0 when it does not exist or we may not know.
        replication_factor: of its first partition; 0 likewise.
        leaderless: partitions nobody leads at the moment.
        error: the broker's error class name (`UnknownTopicOrPartitionError`), empty when there is none.
        allowed: which of OPERATION_BITS we may do with it.
    """

    name: str
    topic_id: str
    partitions: int
    replication_factor: int
    leaderless: tuple[int, ...]
    error: str
    allowed: frozenset[str]

    @property
    def exists(self) -> bool:
        """Whether the topic is there and we may see it."""
        return self.partitions > 0

    @property
    def forbidden(self) -> bool:
        """Whether the broker refuses even to describe it."""
        return self.error == _FORBIDDEN


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The brokers as they call themselves (host, port), and the topics asked for."""

    brokers: tuple[tuple[str, int], ...]
    topics: dict[str, TopicState]


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The controller's clock between two readings of ours, epoch milliseconds."""

    before_ms: int
    there_ms: int
    after_ms: int

    @property
    def skew_ms(self) -> int:
        """How far the controller is ahead of us beyond what the round trip explains; negative when behind."""
        if self.there_ms > self.after_ms:
            return self.there_ms - self.after_ms
        return min(0, self.there_ms - self.before_ms)


async def describe_topics(admin: AIOKafkaAdminClient, names: Iterable[str]) -> ClusterState:
    """The state of each of these topics. Creates none, whatever the broker's auto-creation says."""
    response = await admin._send_request(_MetadataRequest(list(names)))
    topics = {}
    with_ids = response.API_VERSION >= _MetadataResponseWithIds.API_VERSION
    for error_code, name, *more in response.topics:
        topic_id, _internal, partitions, operations = more[:4] if with_ids else (_NO_ID, *more)
        topics[name] = TopicState(
            name=name,
            topic_id="" if topic_id == _NO_ID else str(topic_id),
            partitions=len(partitions),
            replication_factor=len(partitions[0][4]) if partitions else 0,
            leaderless=tuple(sorted(partition[1] for partition in partitions if partition[2] < 0)),
            error=errors.for_code(error_code).__name__ if error_code else "",
            allowed=frozenset(name for name, bit in OPERATION_BITS.items() if operations >> bit & 1),
        )
    return ClusterState(tuple((broker[1], broker[2]) for broker in response.brokers), topics)


async def quorum_time(admin: AIOKafkaAdminClient) -> ClockReading | None:
    """The controller's clock; None when this cluster or our ACLs do not tell. Writes nothing.

    The controller stamps its own entry of the quorum with its present time when it is asked.
    """
    before = time.time_ns() // 1_000_000
    try:
        response = await admin._send_request(_QuorumRequest())
    except (errors.IncompatibleBrokerVersion, NotImplementedError):
        return None
    after = time.time_ns() // 1_000_000
    if response.error_code or not response.topics or response.topics[0][1][0][1]:
        return None
    _partition, _error, leader, _epoch, _mark, voters, _observers, _tags = response.topics[0][1][0]
    for replica_id, _end, fetched, _caught_up, _replica_tags in voters:
        if replica_id == leader and fetched > 0:
            return ClockReading(before, fetched, after)
    return None
