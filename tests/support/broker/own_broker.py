"""Brokers that one test file has for itself: to be frozen and killed, and with users, secrets and grants."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.support.broker.fleet import Fleet
from topology.devbroker import KafkaProcess
from topology.devbroker.process import free_port

USER = "worker"
_JAAS = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class SecureBroker:
    """A broker with a second listener that asks for SCRAM-SHA-512, and with an authorizer; the first is for the tests."""

    def __init__(self) -> None:
        port, secure_port, controller_port = free_port(), free_port(), free_port()
        self.secure_servers = f"127.0.0.1:{secure_port}"
        plain, secure = f"PLAINTEXT://127.0.0.1:{port}", f"SASL_PLAINTEXT://{self.secure_servers}"
        listener = "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config"
        self.process = KafkaProcess(
            port=port,
            properties={
                "listeners": f"{plain},CONTROLLER://127.0.0.1:{controller_port},{secure}",
                "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
                "advertised.listeners": f"{plain},{secure}",
                "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
                "sasl.enabled.mechanisms": "SCRAM-SHA-512",
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
                listener: _JAAS,
            },
        )

    @property
    def admin(self) -> AdminClient:
        """A client that may do everything."""
        return AdminClient({"bootstrap.servers": self.process.bootstrap_servers, "log_level": 0})

    def set_secret(self, secret: str) -> None:
        """The user's password from now on."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4_096)
        wanted = [UserScramCredentialUpsertion(USER, info, secret.encode())]
        admin = self.admin
        for answer in admin.alter_user_scram_credentials(wanted).values():
            answer.result(30)

    def grant(self, *kinds: ResourceType) -> None:
        """Let the user do everything with every resource of these kinds."""
        admin = self.admin
        for answer in admin.create_acls([_everything(kind) for kind in kinds]).values():
            answer.result(30)

    def revoke(self, *kinds: ResourceType) -> None:
        """Take that back."""
        admin = self.admin
        for answer in admin.delete_acls([_everything_filter(kind) for kind in kinds]).values():
            answer.result(30)

    def settings_of(self, secret_file: Path) -> dict[str, str]:
        """What a worker is started with."""
        return {
            "kafka__bootstrap_servers": self.secure_servers,
            "kafka__security_protocol": "SASL_PLAINTEXT",
            "kafka__sasl_mechanism": "SCRAM-SHA-512",
            "kafka__sasl_username": USER,
            "kafka__sasl_password_file": str(secret_file),
        }


def _everything(kind: ResourceType) -> AclBinding:
    name = "kafka-cluster" if kind == ResourceType.BROKER else "*"
    return AclBinding(
        kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", AclOperation.ALL, AclPermissionType.ALLOW
    )


def _everything_filter(kind: ResourceType) -> AclBindingFilter:
    name = "kafka-cluster" if kind == ResourceType.BROKER else "*"
    return AclBindingFilter(
        kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", AclOperation.ALL, AclPermissionType.ALLOW
    )


@contextlib.contextmanager
def fleet_on(process: KafkaProcess, directory: Path, settings: dict[str, str]) -> Iterator[Fleet]:
    """An application on a broker of the test's own, with its topics."""
    with Fleet(process.bootstrap_servers, directory, settings) as fleet:
        fleet.create_topics()
        yield fleet
