"""From settings to a client, and from its errors to ours: each names what to look at and whether it may pass by itself."""

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import errors

from schemas.errors import BrokerTrouble, BrokerUnavailable, ConfigError, ModpulseError, RecordRefused, TaskFenced
from tests.support.paths import DATA
from topology.kafka import client as module
from topology.kafka.client import as_modpulse_error, broker_errors, client_options, connection_error, named_error
from topology.settings import Settings, load_settings

TLS = DATA / "tls"


def settings_of(**kafka: str) -> Settings:
    return load_settings(environ={f"MODPULSE_KAFKA__{name.upper()}": value for name, value in kafka.items()})


SASL = {"sasl_mechanism": "PLAIN", "sasl_username": "user", "sasl_password": "secret"}
SECURE = settings_of(security_protocol="SASL_PLAINTEXT", bootstrap_servers="broker:9094", **SASL)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine where nobody listens, and nobody else will meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_plain_client_has_neither_credentials_nor_certificates() -> None:
    options = client_options(settings_of(bootstrap_servers="a:1,b:2", request_timeout="7s"))
    assert options == {
        "bootstrap_servers": ["a:1", "b:2"],
        "client_id": "modpulse",
        "request_timeout_ms": 7_000,
        "security_protocol": "PLAINTEXT",
    }


@pytest.mark.parametrize(
    ("protocol", "secret", "encrypted"),
    [("SSL", False, True), ("SASL_PLAINTEXT", True, False), ("SASL_SSL", True, True)],
)
def test_each_protocol_gets_what_it_needs(protocol: str, secret: bool, encrypted: bool) -> None:
    trusted = {"ssl_ca_location": str(TLS / "first.pem")} if encrypted else {}
    options = client_options(settings_of(security_protocol=protocol, **(SASL if secret else {}), **trusted))
    assert options.get("sasl_plain_password") == ("secret" if secret else None)
    assert ("sasl_mechanism" in options) is secret
    assert ("ssl_context" in options) is encrypted
    if encrypted:
        assert options["ssl_context"].check_hostname
        assert options["ssl_context"].verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("kafka", "said"),
    [
        ({"ssl_ca_location": "first.key"}, "kafka.ssl_ca_location = .*first.key holds no usable certificates"),
        (
            {"ssl_certificate_location": "first.pem", "ssl_key_location": "second.key"},
            "kafka.ssl_certificate_location = .*first.pem cannot be used .* kafka.ssl_key_location",
        ),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named_by_its_setting(kafka: dict[str, str], said: str) -> None:
    settings = settings_of(security_protocol="SSL", **{name: str(TLS / file) for name, file in kafka.items()})
    with pytest.raises(ConfigError, match=said):
        client_options(settings)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (errors.UnsupportedSaslMechanismError("X"), ConfigError, "kafka.sasl_mechanism = PLAIN"),
        (errors.AuthenticationFailedError("bad"), ConfigError, "refuses kafka.sasl_username = user ("),
        (errors.SaslAuthenticationFailed("bad"), ConfigError, "refuses kafka.sasl_username = user ("),
        (errors.IllegalSaslStateError("x"), ConfigError, "broker:9094 does not ask for SASL there"),
        (ssl.SSLError(1, "wrong version"), ConfigError, "kafka.ssl_ca_location"),
        (errors.TopicAuthorizationFailedError("in"), ConfigError, "grant the ACL"),
        (errors.TransactionalIdAuthorizationFailed("id"), ConfigError, "grant the ACL"),
        (errors.InvalidTransactionTimeout("x"), ConfigError, "kafka.transaction_timeout is longer than"),
        (errors.InvalidSessionTimeoutError("x"), ConfigError, "kafka.session_timeout is outside"),
        (errors.InconsistentGroupProtocolError("x"), ConfigError, "another program is a member"),
        (errors.UnsupportedVersionError("x"), ConfigError, "older than this worker needs (Kafka 2.3)"),
        (errors.MessageSizeTooLargeError("x"), RecordRefused, "raise max.message.bytes"),
        (errors.InvalidTimestampError("x"), RecordRefused, "message.timestamp.type to LogAppendTime"),
        (errors.CorruptRecordException("x"), RecordRefused, "a batch of the log is damaged"),
        (errors.KafkaConnectionError("refused"), BrokerUnavailable, "no broker at kafka.bootstrap_servers"),
        (errors.RequestTimedOutError(), BrokerUnavailable, "or check that it speaks SASL_PLAINTEXT"),
        (TimeoutError(), BrokerUnavailable, "(TimeoutError)"),
        (ConnectionResetError("first\nsecond"), BrokerUnavailable, "(first); start it"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_names_what_to_do(error: Exception, kind: type[ModpulseError], said: str) -> None:
    known = as_modpulse_error(error, SECURE)
    assert type(known) is kind
    assert said in str(known)


def test_what_is_no_error_of_a_broker_stays_what_it_is() -> None:
    own = TaskFenced("mine")
    assert as_modpulse_error(own, SECURE) is own
    assert as_modpulse_error(ValueError("x"), SECURE) is None
    assert as_modpulse_error(errors.UnknownMemberIdError(), SECURE) is None
    other = ValueError("x")
    assert named_error(other, SECURE) is other


def test_a_cause_counts_where_the_client_hides_it_behind_a_general_error() -> None:
    hidden = errors.KafkaError("general")
    hidden.__cause__ = RuntimeError("between")
    hidden.__cause__.__cause__ = errors.SaslAuthenticationFailed("bad")
    assert isinstance(named_error(hidden, SECURE), ConfigError)
    group = BaseExceptionGroup("all", [BaseExceptionGroup("some", [hidden]), ValueError("other")])
    assert isinstance(named_error(group, SECURE), ConfigError)
    trouble = named_error(errors.UnknownMemberIdError(), SECURE)
    assert type(trouble) is BrokerTrouble
    assert trouble.retriable


@pytest.mark.parametrize("answers", [False, True])
def test_one_server_that_answers_is_enough_and_else_the_last_error_is_told(closed_port: int, answers: bool) -> None:
    closed, gone = f"127.0.0.1:{closed_port}", asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The broker's side of the first request, which asks for versions: it has none."""
        size = int.from_bytes(await reader.readexactly(4), "big")
        correlation = (await reader.readexactly(size))[4:8]
        answer = correlation + struct.pack(">hi", 0, 0)
        writer.write(len(answer).to_bytes(4, "big") + answer)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    async def scenario() -> ModpulseError | None:
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            servers = f"{closed},127.0.0.1:{port}" if answers else closed
            found = await connection_error(settings_of(bootstrap_servers=servers))
            if answers:
                await gone.wait()
            return found

    found = asyncio.run(scenario())
    if answers:
        assert found is None
    else:
        assert isinstance(found, BrokerUnavailable)
        assert f"no broker at kafka.bootstrap_servers = {closed}" in str(found)


@pytest.mark.parametrize("reason", [None, ConfigError("wrong password")], ids=["it answers", "a better reason"])
def test_an_unreachable_broker_is_asked_once_more_for_the_reason(
    monkeypatch: pytest.MonkeyPatch, reason: ModpulseError | None
) -> None:
    async def probed(settings: Settings) -> ModpulseError | None:
        return reason

    monkeypatch.setattr(module, "connection_error", probed)

    async def scenario(error: Exception) -> None:
        async with broker_errors(SECURE):
            raise error

    with pytest.raises(ModpulseError) as caught:
        asyncio.run(scenario(errors.KafkaConnectionError("refused")))
    if reason is None:
        assert "advertised.listeners" in str(caught.value)
    else:
        assert caught.value is reason
    with pytest.raises(RecordRefused):
        asyncio.run(scenario(errors.RecordTooLargeError("x")))
    with pytest.raises(errors.UnknownMemberIdError):
        asyncio.run(scenario(errors.UnknownMemberIdError()))
    with pytest.raises(ValueError, match="own"):
        asyncio.run(scenario(ValueError("own")))


def test_an_admin_client_that_cannot_start_is_closed_and_said_once(
    closed_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The library logs what is raised, translated and reported anyway."""
    settings = settings_of(bootstrap_servers=f"127.0.0.1:{closed_port}")

    async def scenario() -> Any:
        async with module.admin_client(settings):
            raise AssertionError("it has no broker")

    with caplog.at_level(logging.DEBUG), pytest.raises(BrokerUnavailable):
        asyncio.run(scenario())
    assert [record for record in caplog.records if record.name == "aiokafka"] == []
    logging.getLogger("aiokafka").warning("heard again")
    assert "heard again" in caplog.text
