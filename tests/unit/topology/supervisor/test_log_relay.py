"""A worker's log comes through line by line, with its number and nothing else changed."""

import io
import os
import threading

import orjson
import pytest

from topology.supervisor.log_relay import LogRelay, labelled


class Out(io.BytesIO):
    """Keeps each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: object) -> int:
        assert isinstance(data, bytes)
        self.writes.append(data)
        return super().write(data)


def relayed(*pieces: bytes, out: Out | None = None) -> bytes:
    out = out or Out()
    relay = LogRelay(3, out)
    writer = os.dup(relay.write_end)
    relay.started()
    for piece in pieces:
        os.write(writer, piece)
    os.close(writer)
    relay.ended(10)
    return out.getvalue()


def test_a_json_line_gets_a_field_and_every_other_field_stays() -> None:
    line = b'{"event":"a{b}","n":[1,2],"level":"info"}'
    assert orjson.loads(labelled(line, 12)) == {"worker": 12, **orjson.loads(line)}


@pytest.mark.parametrize(
    "line", [b"Traceback (most recent call last):", b'  File "x", line 1', b"{}", b"{broken", b"", b"\xff"]
)
def test_any_other_line_gets_the_number_in_front(line: bytes) -> None:
    assert labelled(line, 0) == b"worker=0 " + line


def test_lines_are_whole_however_they_come() -> None:
    assert relayed(b'{"a":', b'1}\n{"b":2}\npla', b"in\nlast") == (
        b'{"worker":3,"a":1}\n{"worker":3,"b":2}\nworker=3 plain\nworker=3 last\n'
    )
    assert relayed() == b""


def test_lines_of_several_workers_never_mix() -> None:
    out, long = Out(), b"x" * 60_000
    relays = [LogRelay(number, out) for number in range(4)]
    writers = [os.dup(relay.write_end) for relay in relays]
    for relay in relays:
        relay.started()

    def write(writer: int) -> None:
        for _ in range(20):
            os.write(writer, long + b"\n")
        os.close(writer)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for relay in relays:
        relay.ended(10)
    assert sorted(out.getvalue().splitlines()) == sorted(
        b"worker=%d %b" % (n, long) for n in range(4) for _ in range(20)
    )
    assert all(write == b"" or write.endswith(b"\n") for write in out.writes)


def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    out = Out()
    relay = LogRelay(0, out)
    writer = os.dup(relay.write_end)
    relay.started()
    for _ in range(40):
        os.write(writer, b"x" * (1 << 16))
    os.close(writer)
    relay.ended(10)
    assert max(map(len, out.writes)) < 3 << 20
    assert out.getvalue().count(b"x") == 40 << 16


def test_a_worker_goes_on_when_nobody_reads_its_log() -> None:
    class Closed(Out):
        def write(self, data: object) -> int:
            raise BrokenPipeError

    relayed(*[b"line\n" * 1_000] * 50, out=Closed())
