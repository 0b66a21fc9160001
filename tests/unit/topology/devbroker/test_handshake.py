"""A broker is ready when it lists itself; whoever hangs up, says nothing or says something else is not."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from schemas.errors import BrokerUnavailable
from topology.devbroker import handshake
from topology.devbroker.handshake import accepts_connections, is_ready, read_exactly, split_address, wait_until_ready


def answer(brokers: int) -> bytes:
    """A Metadata answer that lists so many brokers; what follows is not looked at."""
    return struct.pack(">iii", 8, 1, brokers)


@contextmanager
def listener(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Answers each connection in turn, byte by byte, and hangs up; what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for reply in answers:
                connection, _ = server.accept()
                with connection:
                    size = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))[0]
                    asked.append(connection.recv(size, socket.MSG_WAITALL))
                    for at in range(len(reply)):
                        connection.sendall(reply[at : at + 1])

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", asked
        thread.join()


def nobody() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("reply", "ready"),
    [(answer(1), True), (answer(0), False), (answer(-1), False), (answer(3)[:11], False), (b"", False)],
)
def test_a_broker_that_lists_a_broker_is_ready(reply: bytes, ready: bool) -> None:
    with listener(reply) as (address, _):
        assert is_ready(address) is ready


def test_the_question_is_metadata_of_no_topic() -> None:
    with listener(answer(1)) as (address, asked):
        is_ready(address)
    key, version, _, length = struct.unpack(">hhih", asked[0][:10])
    assert (key, version) == (3, 1)
    assert asked[0][10 + length :] == struct.pack(">i", 0), "null would ask for all topics"


def test_a_listener_need_not_speak_kafka_to_accept_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert accepts_connections(f"127.0.0.1:{server.getsockname()[1]}")
    assert not accepts_connections(nobody())
    assert not is_ready(nobody())


def test_it_is_asked_again_until_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "_POLL_S", 0.0)
    with listener(b"", answer(0), answer(1)) as (address, asked):
        wait_until_ready(address, 10, lambda: True)
    assert len(asked) == 3


def test_one_that_ended_is_not_waited_for_and_one_that_does_not_get_ready_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handshake, "_POLL_S", 0.0)
    with pytest.raises(BrokerUnavailable, match="ended before it was ready"):
        wait_until_ready(nobody(), 600, lambda: False)
    with pytest.raises(BrokerUnavailable, match=r"was not ready within 0\.01 s"):
        wait_until_ready(nobody(), 0.01, lambda: True)


def test_an_address_has_a_host_and_a_port() -> None:
    assert split_address(" kafka-1:9092 ") == ("kafka-1", 9_092)
    assert split_address("[::1]:9092") == ("::1", 9_092)
    for text in ("kafka-1", ":9092", "kafka-1:", "kafka-1:x"):
        with pytest.raises(ValueError, match=r"host:port|invalid literal"):
            split_address(text)


def test_so_many_bytes_are_read_in_however_many_pieces_they_come_and_not_one_more() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # keeps the pieces apart
    with one, other:
        for piece in (b"abcde", b"f", b"ghij"):
            other.send(piece)
        assert read_exactly(one, 8) == b"abcdefgh"
        assert read_exactly(one, 0) == b""


def test_whoever_hangs_up_too_early_is_told_from_one_that_is_slow() -> None:
    one, other = socket.socketpair()
    with one, other:
        other.sendall(b"abc")
        other.close()
        with pytest.raises(ConnectionError, match="closed the connection"):
            read_exactly(one, 4)
