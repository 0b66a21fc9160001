"""What `doctor` says of rights, without a broker."""

from topology.kafka.broker_protocol import OPERATION_BITS, ClusterState, TopicState
from topology.kafka.topics import desired_topics
from topology.monitor.doctor import _permissions
from topology.settings import Settings


def cluster_without(settings: Settings, topic: str, *operations: str) -> ClusterState:
    """Every topic is there, and everything is allowed but this."""
    everything = frozenset(OPERATION_BITS)
    names = [spec.name for spec in desired_topics(settings)]
    allowed = {name: everything - set(operations if name == topic else ()) for name in names}
    return ClusterState((), {name: TopicState(name, "", 1, 1, (), "", allowed[name]) for name in names})


def test_what_the_worker_cannot_do_without_is_a_failure() -> None:
    settings = Settings()
    (found,) = _permissions(settings, cluster_without(settings, settings.topics.dlq, "WRITE"))
    assert (found.status, found.text) == ("fail", f"not allowed: WRITE on {settings.topics.dlq}")


def test_records_that_may_not_be_deleted_are_a_warning_with_the_way_out() -> None:
    settings = Settings()
    (found,) = _permissions(settings, cluster_without(settings, settings.repartition_topic, "DELETE"))
    assert found.status == "warn"
    assert f"DELETE on {settings.repartition_topic}" in found.text
    assert "retention.ms" in found.remedy
    (fine,) = _permissions(settings, cluster_without(settings, settings.topics.dlq, "DELETE"))
    assert fine.status == "ok"
