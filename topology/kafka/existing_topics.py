"""Topics that exist already: ask for them without creating any, and delete those that were only for a while."""

from collections.abc import Sequence

from schemas.errors import ConfigError
from topology.kafka.broker_protocol import describe_topics
from topology.kafka.client import admin_client
from topology.settings import Settings


async def require_topics(settings: Settings, names: Sequence[str]) -> dict[str, int]:
    """How many partitions each topic has.

    Raises:
        ConfigError: one is missing or may not be seen; the message names the remedy.
        BrokerUnavailable: no broker answers.
    """
    async with admin_client(settings) as admin:
        topics = (await describe_topics(admin, names)).topics
    hidden = [name for name in names if topics[name].forbidden]
    if hidden:
        raise ConfigError(f"the broker does not let us see {', '.join(hidden)}; grant DESCRIBE on it")
    missing = [name for name in names if not topics[name].exists]
    if missing:
        plural = "topics do not exist" if len(missing) > 1 else "topic does not exist"
        raise ConfigError(f"{plural}: {', '.join(missing)}; run `modpulse topics create`")
    return {name: topics[name].partitions for name in names}


async def delete_topics(settings: Settings, names: Sequence[str]) -> None:
    """Delete topics of our own making."""
    async with admin_client(settings) as admin:
        await admin.delete_topics(list(names))
