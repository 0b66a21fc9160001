"""Ask an address whether a Kafka broker is ready, with one request over a plain socket.

A Metadata request is the question that matters: it is answered with a broker list only once the broker has registered
with the controller and was unfenced, so whoever connects next can create topics. Plain text listeners only.
"""

import socket
import struct
import time
from collections.abc import Callable

from schemas.errors import BrokerUnavailable

_METADATA = 3
_POLL_S = 0.05
_ANSWER_TIMEOUT_S = 2.0


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port`.

    Raises:
        ValueError: there is no port, or it is not a number.
    """
    host, _, port = address.strip().rpartition(":")
    if not host:
        raise ValueError(f"{address!r} is not host:port")
    return host.strip("[]"), int(port)


def accepts_connections(address: str) -> bool:
    """Tell whether something listens at `host:port`; it need not be a plain text Kafka listener."""
    try:
        with socket.create_connection(split_address(address), timeout=_ANSWER_TIMEOUT_S):
            return True
    except OSError:
        return False


def is_ready(address: str) -> bool:
    """Tell whether a Kafka broker answers at `host:port` and lists at least one usable broker."""
    try:
        with socket.create_connection(split_address(address), timeout=_ANSWER_TIMEOUT_S) as connection:
            return _broker_count(connection) > 0
    except (OSError, struct.error):
        return False


def wait_until_ready(address: str, deadline_s: float, still_starting: Callable[[], bool]) -> None:
    """Return as soon as the broker at `address` is ready.

    Raises:
        BrokerUnavailable: the deadline passed, or `still_starting` said no before the broker was ready.
    """
    end = time.monotonic() + deadline_s
    while not is_ready(address):
        if not still_starting():
            raise BrokerUnavailable(f"the broker for {address} ended before it was ready")
        if time.monotonic() > end:
            raise BrokerUnavailable(f"the broker at {address} was not ready within {deadline_s:g} s")
        time.sleep(_POLL_S)


def _broker_count(connection: socket.socket) -> int:
    """Send Metadata version 1 for no topics and read how many brokers the answer lists."""
    client = b"modpulse-devbroker"
    request = struct.pack(f">hhih{len(client)}si", _METADATA, 1, 1, len(client), client, 0)
    connection.sendall(struct.pack(">i", len(request)) + request)
    _size, _correlation, brokers = struct.unpack(">iii", read_exactly(connection, 12))
    return int(brokers)


def read_exactly(connection: socket.socket, size: int) -> bytes:
    """Read so many bytes.

    Raises:
        ConnectionError: the other side hung up before.
    """
    received = b""
    while len(received) < size:
        chunk = connection.recv(size - len(received))
        if not chunk:
            raise ConnectionError("the listener closed the connection")
        received += chunk
    return received
