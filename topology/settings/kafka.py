"""How to reach the broker: the `kafka` section.

In the file, `[kafka]` takes the property names people know from librdkafka and Java (`bootstrap.servers`,
`sasl.password`); each stands for the field of the same meaning, and a property without a field is refused rather than
accepted and ignored.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr, model_validator

from topology.settings.units import ByteSize, DurationMs, PositiveDurationMs, parse_host_port

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

# librdkafka (and Java) property name -> our field; where the two differ, both are taken.
PROPERTIES: dict[str, str] = {
    "bootstrap.servers": "bootstrap_servers",
    "client.id": "client_id",
    "client.rack": "client_rack",
    "group.instance.id": "group_instance_id",
    "session.timeout.ms": "session_timeout",
    "request.timeout.ms": "request_timeout",
    "transaction.timeout.ms": "transaction_timeout",
    "fetch.max.bytes": "fetch_max_bytes",
    "max.partition.fetch.bytes": "max_partition_fetch_bytes",
    "fetch.wait.max.ms": "fetch_max_wait",
    "fetch.max.wait.ms": "fetch_max_wait",
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_username",
    "sasl.password": "sasl_password",
    "sasl.password.file": "sasl_password_file",
    "ssl.ca.location": "ssl_ca_location",
    "ssl.certificate.location": "ssl_certificate_location",
    "ssl.key.location": "ssl_key_location",
    "ssl.key.password": "ssl_key_password",
    "ssl.key.password.file": "ssl_key_password_file",
}


def _servers(value: object) -> object:
    if isinstance(value, list | tuple):
        value = ",".join(str(item) for item in value)
    return value


def _each_server(value: str) -> str:
    servers = [parse_host_port(server) for server in value.split(",") if server.strip()]
    if not servers:
        raise ValueError("is empty; write host:port,host:port")
    return ",".join(servers)


def _empty_is_unset(value: object) -> object:
    return None if value == "" else value


def _readable(path: Path) -> Path:
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); name a file this user may read") from error


def _upper_case(value: object) -> object:
    """`sasl_ssl` as librdkafka writes it; Java takes any case."""
    return value.upper() or None if isinstance(value, str) else value


Servers = Annotated[str, BeforeValidator(_servers), AfterValidator(_each_server)]
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_unset)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_empty_is_unset)]
OptionalFile = Annotated[Annotated[Path, AfterValidator(_readable)] | None, BeforeValidator(_empty_is_unset)]


class KafkaSettings(BaseModel):
    """The broker, the group membership and the security of every connection."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # A broker on this machine: the dev broker's and every tutorial's address.
    bootstrap_servers: Servers = "127.0.0.1:9092"
    # Names our connections in the broker's logs and quotas.
    client_id: str = "modpulse"
    # Unset: fetch from leaders; a rack lets the broker point to a follower nearby.
    client_rack: OptionalText = None
    # Unset: a dynamic member. With a stable name per worker a restart within session_timeout moves no partition.
    group_instance_id: OptionalText = None
    # Kafka's own default since 3.0: survives a long garbage collection or a slow node, notices a death within a minute.
    session_timeout: PositiveDurationMs = 45_000
    # Longer than a broker's failover (about 10 s), shorter than anybody's patience.
    request_timeout: PositiveDurationMs = 30_000
    # 300 times the default flush_interval; an abandoned transaction blocks read_committed readers no longer than this.
    transaction_timeout: PositiveDurationMs = 60_000
    # Eight partitions' worth, a third of a second of work. Up to three fetches of each broker are in memory, and Kafka's own
    # default of 50MiB would be 150.
    fetch_max_bytes: ByteSize = 16 << 20
    # About 10,000 events of 200 bytes: from there on larger batches decode no faster.
    max_partition_fetch_bytes: ByteSize = 2 << 20
    # A client has one fetch under way at each broker, and one that waits for quiet topics holds up the busy ones for as long:
    # at 500 ms a worker with a backlog waited a quarter of its time. Empty answers are bounded to 50 a second.
    fetch_max_wait: DurationMs = 20
    # What an unconfigured broker speaks.
    security_protocol: Annotated[SecurityProtocol, BeforeValidator(_upper_case)] = "PLAINTEXT"
    # Unset unless security_protocol says SASL.
    sasl_mechanism: Annotated[SaslMechanism | None, BeforeValidator(_upper_case)] = None
    sasl_username: OptionalText = None
    sasl_password: OptionalSecret = None
    # A mounted secret: read at each connection, so that a rotated one needs no restart.
    sasl_password_file: OptionalFile = None
    # Unset: the system's certificate authorities.
    ssl_ca_location: OptionalFile = None
    # Unset: no client certificate.
    ssl_certificate_location: OptionalFile = None
    ssl_key_location: OptionalFile = None
    ssl_key_password: OptionalSecret = None
    ssl_key_password_file: OptionalFile = None

    @model_validator(mode="after")
    def _security_is_consistent(self) -> Self:
        if problem := self._sasl_problem() or self._ssl_problem():
            raise ValueError(problem)
        return self

    def sasl_secret(self) -> str | None:
        """The SASL password, read from its file when there is one."""
        return _secret(self.sasl_password, self.sasl_password_file)

    def ssl_key_secret(self) -> str | None:
        """The password of the client key, read from its file when there is one."""
        return _secret(self.ssl_key_password, self.ssl_key_password_file)

    @property
    def servers(self) -> list[str]:
        """The bootstrap servers, one by one."""
        return self.bootstrap_servers.split(",")

    def _sasl_problem(self) -> str | None:
        protocol = self.security_protocol
        given = [name for name in _SASL_FIELDS if getattr(self, name) is not None]
        if not protocol.startswith("SASL_"):
            if given:
                return (
                    f"kafka.security_protocol = {protocol} would ignore kafka.{given[0]}; set"
                    " kafka.security_protocol to SASL_SSL (or to SASL_PLAINTEXT if the password may cross the network in"
                    " the clear)"
                )
            return None
        if self.sasl_password is not None and self.sasl_password_file is not None:
            return "kafka.sasl_password and kafka.sasl_password_file are both set; keep one"
        if self.sasl_mechanism is None:
            return f"kafka.security_protocol = {protocol} needs kafka.sasl_mechanism; set PLAIN or SCRAM-SHA-512"
        if self.sasl_username is None or (self.sasl_password is None and self.sasl_password_file is None):
            return (
                f"kafka.security_protocol = {protocol} needs kafka.sasl_username and kafka.sasl_password (or"
                " kafka.sasl_password_file); set both"
            )
        return None

    def _ssl_problem(self) -> str | None:
        given = [name for name in _SSL_FIELDS if getattr(self, name) is not None]
        if given and not self.security_protocol.endswith("SSL"):
            return (
                f"kafka.security_protocol = {self.security_protocol} would ignore kafka.{given[0]}; set"
                " kafka.security_protocol to SSL or SASL_SSL"
            )
        if self.ssl_key_location is not None and self.ssl_certificate_location is None:
            return "kafka.ssl_key_location needs kafka.ssl_certificate_location; name the client certificate too"
        if self.ssl_key_password is not None and self.ssl_key_password_file is not None:
            return "kafka.ssl_key_password and kafka.ssl_key_password_file are both set; keep one"
        return None


_SASL_FIELDS = ("sasl_mechanism", "sasl_username", "sasl_password", "sasl_password_file")
_SSL_FIELDS = (
    "ssl_ca_location",
    "ssl_certificate_location",
    "ssl_key_location",
    "ssl_key_password",
    "ssl_key_password_file",
)


def _secret(value: SecretStr | None, file: Path | None) -> str | None:
    if file is not None:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    return None if value is None else value.get_secret_value()
