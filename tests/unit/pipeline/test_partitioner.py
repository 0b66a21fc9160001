"""The partition of a key is the one that Java's producer chooses."""

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_client
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.partitioner import murmur2, partition_of
from tests.support.core.cores import fixed

# From Kafka's own test (clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java).
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", JAVA)
def test_hashes_are_those_of_kafkas_own_tests(key: bytes) -> None:
    assert murmur2(key) == JAVA[key] % 2**32


@fixed(300)
@given(st.binary(max_size=70), st.integers(1, 5_000))
@example(b"", 7)
@example("süß".encode(), 12)
def test_any_key_goes_where_the_client_library_sends_it(key: bytes, partitions: int) -> None:
    assert murmur2(key) == murmur2_of_client(key) % 2**32
    assert partition_of(key, partitions) == (murmur2_of_client(key) & 0x7FFFFFFF) % partitions


def test_the_sign_of_a_hash_is_cut_off_not_turned_around() -> None:
    hashed = JAVA[b"21"]
    assert partition_of(b"21", 1_000) == (hashed + 2**31) % 1_000 != abs(hashed) % 1_000
    assert partition_of(b"21", 1) == 0
