"""Names that only the tests use, and how what has such a name is taken away from a broker that stays."""

from collections.abc import Collection
from uuid import uuid4

from confluent_kafka.admin import AdminClient

PREFIX = "modpulse-test-"


def new_name(kind: str) -> str:
    """A name that nobody has used yet; topics, groups and applications of a test begin with one."""
    return f"{PREFIX}{kind}-{uuid4().hex[:10]}"


def topics_of_tests(servers: str) -> set[str]:
    """Every topic there that a test made."""
    topics = AdminClient({"bootstrap.servers": servers, "log_level": 0}).list_topics(timeout=20).topics
    return {name for name in topics if name.startswith(PREFIX)}


def delete_topics_of_tests(servers: str, spared: Collection[str]) -> set[str]:
    """Delete what tests made since; those of `spared` belong to another run. Answers what was deleted."""
    left = topics_of_tests(servers).difference(spared)
    if left:
        admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        for deleted in admin.delete_topics(sorted(left), operation_timeout=30).values():
            deleted.result()
    return left
