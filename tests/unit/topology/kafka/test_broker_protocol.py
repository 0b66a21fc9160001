"""Answers of a broker, made by hand byte by byte, as plain values."""

import asyncio
import struct
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from aiokafka.errors import IncompatibleBrokerVersion

from topology.kafka import broker_protocol as module
from topology.kafka.broker_protocol import ClockReading, TopicState, describe_topics, quorum_time

TOPIC_ID = UUID("12345678-1234-5678-1234-567812345678")
TAGS = b"\0"
FORBIDDEN, UNKNOWN_TOPIC = 29, 3
NOW_MS = 1_700_000_000_000


class Admin:
    """A broker that knows one version of a request and answers with these bytes.

    Attributes:
        asked: the request as it would be sent.
    """

    def __init__(self, api_key: int, version: int, answer: bytes) -> None:
        self._versions = {api_key: (0, version)}
        self._answer = answer
        self.asked = b""

    async def _send_request(self, request: Any) -> Any:
        wire = request.prepare(self._versions)
        self.asked = wire.encode()
        read = BytesIO(self._answer)
        answer = wire.RESPONSE_TYPE.decode(read)
        assert read.read() == b"", "bytes are left"
        return answer


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def compact(value: str) -> bytes:
    return bytes([len(value) + 1]) + value.encode()


def numbers(*values: int) -> bytes:
    return struct.pack(f">i{len(values)}i", len(values), *values)


def compact_numbers(*values: int) -> bytes:
    return bytes([len(values) + 1]) + struct.pack(f">{len(values)}i", *values)


def metadata_v8(name: str, leaders: list[int], replicas: list[int], error: int = 0, allowed: int = 0) -> bytes:
    partitions = b"".join(
        struct.pack(">hiii", 0, number, leader, 5) + numbers(*replicas) + numbers(*replicas) + numbers()
        for number, leader in enumerate(leaders)
    )
    topic = struct.pack(">h", error) + text(name) + b"\0" + struct.pack(">i", len(leaders)) + partitions
    brokers = struct.pack(">ii", 1, 7) + text("one") + struct.pack(">i", 9092) + text("rack")
    head = struct.pack(">i", 0) + brokers + text("cluster") + struct.pack(">i", 7)
    return head + struct.pack(">i", 1) + topic + struct.pack(">ii", allowed, 0)


def metadata_v10(name: str, leaders: list[int], replicas: list[int], topic_id: UUID = TOPIC_ID) -> bytes:
    partitions = b"".join(
        struct.pack(">hiii", 0, number, leader, 5) + compact_numbers(*replicas) * 2 + compact_numbers() + TAGS
        for number, leader in enumerate(leaders)
    )
    topic = struct.pack(">h", 0) + compact(name) + topic_id.bytes + b"\0" + bytes([len(leaders) + 1]) + partitions
    brokers = b"\x02" + struct.pack(">i", 7) + compact("one") + struct.pack(">i", 9092) + compact("rack") + TAGS
    head = struct.pack(">i", 0) + brokers + compact("cluster") + struct.pack(">i", 7)
    return head + b"\x02" + topic + struct.pack(">i", 1 << 3 | 1 << 8) + TAGS + struct.pack(">i", 0) + TAGS


def state_of(admin: Admin, name: str = "in") -> TopicState:
    found = asyncio.run(describe_topics(admin, [name]))
    assert found.brokers == (("one", 9092),)
    assert list(found.topics) == [name]
    return found.topics[name]


def test_a_topic_is_described_with_its_id_where_the_broker_tells_it() -> None:
    state = state_of(Admin(3, 12, metadata_v10("in", [1, -1, 2, -1], [1, 2, 3])))
    assert state == TopicState("in", str(TOPIC_ID), 4, 3, (1, 3), "", frozenset({"READ", "DESCRIBE"}))
    assert (state.exists, state.forbidden) == (True, False)
    assert state_of(Admin(3, 10, metadata_v10("in", [1], [1], UUID(int=0)))).topic_id == ""


def test_an_older_broker_tells_the_same_without_an_id() -> None:
    allowed = 1 << 4 | 1 << 5 | 1 << 6 | 1 << 30
    state = state_of(Admin(3, 8, metadata_v8("in", [1, 2], [1, 2], allowed=allowed)))
    assert state == TopicState("in", "", 2, 2, (), "", frozenset({"WRITE", "CREATE", "DELETE"}))


@pytest.mark.parametrize(
    ("error", "name", "forbidden"),
    [(UNKNOWN_TOPIC, "UnknownTopicOrPartitionError", False), (FORBIDDEN, "TopicAuthorizationFailedError", True)],
)
def test_a_topic_that_is_not_there_and_one_that_may_not_be_seen_are_told_apart(
    error: int, name: str, forbidden: bool
) -> None:
    state = state_of(Admin(3, 8, metadata_v8("in", [], [], error)))
    assert (state.exists, state.error, state.forbidden) == (False, name, forbidden)
    assert (state.partitions, state.replication_factor, state.allowed) == (0, 0, frozenset())


@pytest.mark.parametrize(
    ("version", "answer", "asked"),
    [
        (8, metadata_v8("in", [1], [1]), struct.pack(">i", 1) + text("in") + b"\0\0\1"),
        (10, metadata_v10("in", [1], [1]), b"\x02" + bytes(16) + compact("in") + TAGS + b"\0\0\1" + TAGS),
    ],
)
def test_a_question_creates_no_topic_and_asks_what_we_may_do(version: int, answer: bytes, asked: bytes) -> None:
    """Whatever the broker's auto-creation says."""
    admin = Admin(3, version, answer)
    state_of(admin)
    assert admin.asked == asked


def quorum(voters: list[tuple[int, int]], leader: int = 2, error: int = 0, partition_error: int = 0) -> bytes:
    replicas = b"".join(struct.pack(">iqqq", number, 9, fetched, fetched) + TAGS for number, fetched in voters)
    partition = struct.pack(">ihiiq", 0, partition_error, leader, 5, 9) + bytes([len(voters) + 1]) + replicas
    topic = compact("__cluster_metadata") + b"\x02" + partition + b"\x01" + TAGS + TAGS
    return struct.pack(">h", error) + b"\x02" + topic + TAGS


def clock(answer: bytes, version: int = 1) -> ClockReading | None:
    return asyncio.run(quorum_time(Admin(55, version, answer)))


def test_the_clock_read_is_that_of_the_controller_and_not_of_another_voter() -> None:
    reading = clock(quorum([(1, 5), (2, NOW_MS), (3, 6)]))
    assert reading is not None
    assert reading.there_ms == NOW_MS
    assert NOW_MS < reading.before_ms <= reading.after_ms


@pytest.mark.parametrize(
    "answer",
    [
        quorum([(2, NOW_MS)], error=31),
        quorum([(2, NOW_MS)], partition_error=31),
        quorum([(1, NOW_MS)]),
        quorum([(2, -1)]),
        struct.pack(">h", 0) + b"\x01" + TAGS,
    ],
    ids=["cluster refused", "partition refused", "no leader", "no time", "nothing"],
)
def test_a_cluster_that_does_not_tell_its_time_has_none(answer: bytes) -> None:
    assert clock(answer) is None


@pytest.mark.parametrize("error", [IncompatibleBrokerVersion("old"), NotImplementedError("older")], ids=repr)
def test_a_broker_that_does_not_know_the_question_has_no_time(error: Exception) -> None:
    class Old:
        async def _send_request(self, request: Any) -> Any:
            raise error

    assert asyncio.run(quorum_time(Old())) is None


@pytest.mark.parametrize(
    ("there", "skew"), [(99, -1), (100, 0), (150, 0), (200, 0), (201, 1), (5_200, 5_000), (-4_900, -5_000)]
)
def test_a_clock_is_off_by_what_the_round_trip_does_not_explain(there: int, skew: int) -> None:
    assert module.ClockReading(100, there, 200).skew_ms == skew
