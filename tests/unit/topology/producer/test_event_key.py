"""The key of a line of events: its module, where it names one, and always the same partition."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core.cores import fixed
from tests.truth import partition_of
from topology.producer.event_key import KEYLESS_PARTITION, key_of, partition_for


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b'"shop"',
        b"{}",
        b'{"module_id":""}',
        b'{"module_id":null}',
        b'{"module_id":5}',
        b'{"module_id":["shop"]}',
        b'{"module_id":"\xff"}',
        b'{"module_id":"\\ud800"}',
        b'{"module_id":"shop"} {}',
        b'{"module_id":"shop","x":' + b"[" * 100_000,
    ],
    ids=lambda line: repr(line[:30]),
)
def test_a_line_that_names_no_module_has_no_key(line: bytes) -> None:
    """The worker's dead letters take it; a generator of traffic must not end because of it."""
    assert key_of(line) is None


@fixed(100)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), st.booleans(), st.integers(1, 50))
def test_the_key_is_the_module_as_it_reads_and_its_partition_is_kafkas(module: str, ascii_only: bool, n: int) -> None:
    line = json.dumps({"x": {"module_id": "other"}, "module_id": module}, ensure_ascii=ascii_only).encode()
    key = key_of(line)
    assert key == module.encode()
    assert partition_for(key, n) == partition_of(module, n)


def test_lines_without_a_key_go_to_one_partition_so_that_a_replay_repeats_it() -> None:
    assert {partition_for(None, partitions) for partitions in range(1, 9)} == {KEYLESS_PARTITION}
    assert partition_for(b"", 7) == partition_of("", 7), "an empty key is a key"
