"""From settings to an aiokafka client, and from its errors to ours.

aiokafka reports every failed bootstrap alike ("Unable to bootstrap") and logs the cause only, so `connection_error`
asks each server once more and says what is really wrong: refused, no such host, TLS, credentials.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn

from schemas.errors import BrokerTrouble, BrokerUnavailable, ConfigError, ModpulseError, RecordRefused
from topology.runtime.open_files import shortage_behind
from topology.settings import Settings, split_host_port

_PROBE_TIMEOUT_MS = 5_000

_UNREACHABLE = (
    errors.KafkaConnectionError,
    errors.KafkaTimeoutError,
    errors.KafkaUnavailableError,
    errors.NodeNotReadyError,
    errors.NoBrokersAvailable,
    errors.RequestTimedOutError,
    errors.BrokerNotAvailableError,
    errors.StaleMetadata,
    asyncio.TimeoutError,
    OSError,
)
_UNAUTHORIZED = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
)


# What the broker refuses for good because of a setting of ours, and the remedy.
_WRONG_SETTINGS: dict[type[errors.KafkaError], str] = {
    errors.InvalidTransactionTimeout: "kafka.transaction_timeout is longer than the broker's transaction.max.timeout.ms;"
    " shorten it",
    errors.InvalidSessionTimeoutError: "kafka.session_timeout is outside the broker's group.min.session.timeout.ms and"
    " group.max.session.timeout.ms; correct it",
    errors.InvalidGroupIdError: "application_id is not a group id the broker takes; choose another",
    errors.InconsistentGroupProtocolError: "another program is a member of the consumer group named by application_id; choose"
    " another application_id, or stop that program",
    errors.IncompatibleBrokerVersion: "the broker is older than this worker needs (Kafka 2.3)",
    errors.UnsupportedVersionError: "the broker is older than this worker needs (Kafka 2.3)",
}
# What the broker refuses for good because of a record: it would refuse it again.
_REFUSED_RECORDS: dict[type[errors.KafkaError], str] = {
    errors.MessageSizeTooLargeError: "raise max.message.bytes of the topic that refuses it",
    errors.RecordListTooLargeError: "raise max.message.bytes and segment.bytes of the topic that refuses it",
    errors.RecordTooLargeError: "raise kafka.max_partition_fetch_bytes",
    errors.InvalidTimestampError: "raise message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic that"
    " refuses it, or set its message.timestamp.type to LogAppendTime",
    errors.CorruptRecordException: "a batch of the log is damaged; see the broker's disk, and restore the topic from a replica",
    errors.UnsupportedForMessageFormatError: "raise the log.message.format.version of the topic to 2.x",
    errors.PolicyViolationError: "the cluster has a policy against it",
}


def client_options(settings: Settings) -> dict[str, Any]:
    """What every aiokafka client of ours is made with: where, who, how secure.

    Raises:
        ConfigError: a certificate, a key or a password file cannot be used.
    """
    kafka = settings.kafka
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.servers,
        "client_id": kafka.client_id,
        "request_timeout_ms": kafka.request_timeout,
        "security_protocol": kafka.security_protocol,
    }
    if kafka.security_protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    if kafka.security_protocol.startswith("SASL_"):
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_username
        try:
            options["sasl_plain_password"] = kafka.sasl_secret()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"kafka.sasl_password_file = {kafka.sasl_password_file} cannot be read ({error}); name a readable file"
            ) from error
    return options


def as_modpulse_error(error: BaseException, settings: Settings) -> ModpulseError | None:
    """Our error for one of aiokafka's, naming the setting to look at; None when it is nothing of this kind."""
    kafka = settings.kafka
    if isinstance(error, ModpulseError):
        return error
    if (shortage := shortage_behind(error, unreachable=isinstance(error, _UNREACHABLE))) is not None:
        return shortage
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return ConfigError(
            f"kafka.sasl_mechanism = {kafka.sasl_mechanism}: the broker does not offer it ({_first_line(error)});"
            " choose one that it offers"
        )
    if isinstance(error, errors.AuthenticationFailedError | errors.SaslAuthenticationFailed):
        return ConfigError(
            f"the broker refuses kafka.sasl_username = {kafka.sasl_username} ({_first_line(error)}); correct the user"
            " or kafka.sasl_password"
        )
    if isinstance(error, errors.IllegalSaslStateError):
        return ConfigError(
            f"kafka.security_protocol = {kafka.security_protocol}: {kafka.bootstrap_servers} does not ask for SASL there;"
            " correct the port or the protocol"
        )
    if isinstance(error, ssl.SSLError):
        return ConfigError(
            f"TLS with {kafka.bootstrap_servers} fails ({_first_line(error)}); check kafka.ssl_ca_location,"
            " kafka.ssl_certificate_location and whether that port speaks TLS"
        )
    if isinstance(error, _UNAUTHORIZED):
        return ConfigError(
            f"the broker does not allow it: {_first_line(error)}; grant the ACL (`modpulse doctor` lists it)"
        )
    for kind, remedy in _WRONG_SETTINGS.items():
        if isinstance(error, kind):
            return ConfigError(f"the broker refuses it ({_first_line(error)}): {remedy}")
    for kind, remedy in _REFUSED_RECORDS.items():
        if isinstance(error, kind):
            return RecordRefused(f"the broker refuses a record or a request for good ({_first_line(error)}): {remedy}")
    if isinstance(error, _UNREACHABLE):
        speaks = (
            "" if kafka.security_protocol == "PLAINTEXT" else f", or check that it speaks {kafka.security_protocol}"
        )
        return BrokerUnavailable(
            f"no broker at kafka.bootstrap_servers = {kafka.bootstrap_servers} ({_first_line(error)}); start it"
            f" or correct the setting{speaks}"
        )
    return None


def named_error(error: BaseException, settings: Settings) -> BaseException:
    """The error in our words where there are any; its cause counts where the client hides it behind a general one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    seen: BaseException | None = error
    while seen is not None:
        known = as_modpulse_error(seen, settings)
        if known is not None:
            return known
        seen = seen.__cause__
    if isinstance(error, errors.KafkaError):
        return BrokerTrouble(f"the broker did not do what it was asked: {error!r}")
    return error


async def connection_error(settings: Settings) -> ModpulseError | None:
    """Why no server of `kafka.bootstrap_servers` can be used; None when one answers."""
    options = client_options(settings)
    servers = options.pop("bootstrap_servers")
    options["request_timeout_ms"] = min(settings.kafka.request_timeout, _PROBE_TIMEOUT_MS)
    found: ModpulseError | None = None
    for server in servers:
        host, port = split_host_port(server)
        try:
            connection = await create_conn(host, port, **options)
        except (OSError, errors.KafkaError) as error:
            found = as_modpulse_error(error, settings) or BrokerUnavailable(f"{server}: {_first_line(error)}")
            if isinstance(found, ConfigError):
                return found
        else:
            connection.close()
            return None
    return found


@asynccontextmanager
async def broker_errors(settings: Settings) -> AsyncIterator[None]:
    """Let aiokafka's errors leave this block as BrokerUnavailable or ConfigError; any other passes unchanged."""
    try:
        yield
    except (errors.KafkaError, OSError) as error:
        known = as_modpulse_error(error, settings)
        if known is None:
            raise
        if isinstance(known, BrokerUnavailable):
            known = await connection_error(settings) or _unreachable_though_it_answers(error, settings)
        raise known from error


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A started admin client, closed at the end; its errors are translated as `broker_errors` does."""
    client = AIOKafkaAdminClient(**client_options(settings))
    async with broker_errors(settings):
        try:
            with _without_log("aiokafka"):
                await client.start()
            yield client
        finally:
            await client.close()


def _unreachable_though_it_answers(error: BaseException, settings: Settings) -> BrokerUnavailable:
    return BrokerUnavailable(
        f"kafka.bootstrap_servers = {settings.kafka.bootstrap_servers} answers, but a broker of the cluster does not"
        f" ({_first_line(error)}); correct its advertised.listeners, which `modpulse doctor` shows"
    )


@contextmanager
def _without_log(name: str) -> Iterator[None]:
    """Keep a library quiet about what is raised, translated and reported once anyway."""

    def refuse(record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger(name)
    logger.addFilter(refuse)
    try:
        yield
    finally:
        logger.removeFilter(refuse)


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    kafka = settings.kafka
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_ca_location and str(kafka.ssl_ca_location))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"kafka.ssl_ca_location = {kafka.ssl_ca_location} holds no usable certificates ({error}); name a PEM file"
        ) from error
    if kafka.ssl_certificate_location is not None:
        try:
            # Without a password OpenSSL would ask for one on the terminal; an empty one fails instead.
            context.load_cert_chain(
                kafka.ssl_certificate_location, kafka.ssl_key_location, password=kafka.ssl_key_secret() or ""
            )
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"kafka.ssl_certificate_location = {kafka.ssl_certificate_location} cannot be used ({error}); check it,"
                " kafka.ssl_key_location and kafka.ssl_key_password"
            ) from error
    return context


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
