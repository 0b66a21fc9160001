"""Secrets and certificates that change while the worker runs: clients take them up at their next connection.

aiokafka keeps a client's password and TLS context for the life of the client. Files are looked at by their time and size, and
read again when these change; every client of the worker gets what is in them. Connections that stand go on as they are.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import structlog

from schemas.errors import ConfigError
from topology.kafka.client import client_options
from topology.settings import Settings

log = structlog.get_logger()

_FILES = (
    "sasl_password_file",
    "ssl_ca_location",
    "ssl_certificate_location",
    "ssl_key_location",
    "ssl_key_password_file",
)


class Credentials:
    """The options of every client, kept up to date.

    Attributes:
        options: what a new client is made with.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = [path for name in _FILES if (path := getattr(settings.kafka, name)) is not None]
        self._seen = self._stamps()
        self._clients: Callable[[], Iterable[Any]] = tuple
        self.options: dict[str, Any] = client_options(settings)

    def serve(self, clients: Callable[[], Iterable[Any]]) -> None:
        """Give new credentials to these clients (`AIOKafkaClient`) from now on."""
        self._clients = clients

    def look(self) -> None:
        """Read the files again if any of them has changed, and hand on what is in them."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        try:
            fresh = client_options(self._settings)
        except ConfigError as error:
            # Half written, perhaps: they are read again at the next look.
            log.warning("changed credentials cannot be used yet", error=str(error))
            return
        self._seen = stamps
        self.options.clear()
        self.options.update(fresh)
        for client in self._clients():
            client._ssl_context = fresh.get("ssl_context")
            client._sasl_plain_username = fresh.get("sasl_plain_username")
            client._sasl_plain_password = fresh.get("sasl_plain_password")
        log.info("credentials have changed; new connections use them", files=[str(path) for path in self._files])

    def _stamps(self) -> list[tuple[int, int] | None]:
        return [_stamp(path) for path in self._files]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
