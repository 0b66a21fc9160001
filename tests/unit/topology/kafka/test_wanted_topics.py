"""The topics we want: the contract's names and cleanup policies, and the internal ones."""

import pytest

from topology.kafka.wanted_topics import TopicSpec, desired_topics
from topology.settings import Settings, load_settings

CONTRACT = {
    "module-log-events": "delete",
    "metric-samples": "delete",
    "module-metrics": "compact,delete",
    "system-metrics": "compact,delete",
    "metric-aggregates": "compact,delete",
    "module-alerts": "compact,delete",
    "health-status": "compact",
    "module-log-events.late": "delete",
    "module-log-events.dlq": "delete",
}
INTERNAL = {
    "modpulse-changelog": "compact",
    "modpulse-repartition": "delete",
    "modpulse-system-partials": "compact,delete",
    "modpulse-system-changelog": "compact",
    "modpulse-dlq-replayed": "compact",
}


def topics(settings: Settings | None = None, input_partitions: int | None = None) -> dict[str, TopicSpec]:
    return {spec.name: spec for spec in desired_topics(settings or Settings(), input_partitions)}


def test_names_and_cleanup_policies_are_the_contracts() -> None:
    policies = {name: spec.config["cleanup.policy"] for name, spec in topics().items()}
    assert policies == CONTRACT | INTERNAL


def test_a_topic_whose_records_must_stay_has_no_retention() -> None:
    kept = {name for name, spec in topics().items() if spec.config.get("retention.ms", "-1") == "-1"}
    compacted = {"health-status", "modpulse-changelog", "modpulse-system-changelog", "modpulse-dlq-replayed"}
    assert kept == compacted | {"modpulse-repartition"}


def test_internal_topics_follow_the_partitions_the_input_really_has() -> None:
    found = topics(input_partitions=12)
    counts = {name: spec.partitions for name, spec in found.items() if spec.exact}
    assert counts == {
        "modpulse-changelog": 12,
        "modpulse-repartition": 12,
        "modpulse-system-partials": 1,
        "modpulse-system-changelog": 1,
        "modpulse-dlq-replayed": 1,
    }
    assert found["module-log-events"].partitions == 12
    assert found["module-metrics"].partitions == 4


def test_the_input_takes_what_the_usual_producers_send_and_letters_take_more_than_that() -> None:
    assert topics()["module-log-events"].config["max.message.bytes"] == str(1 << 20)
    for name in ("module-log-events.dlq", "module-log-events.late", "modpulse-repartition"):
        assert topics()[name].config["max.message.bytes"] == str(8 << 20)


def test_letters_and_forwarded_records_have_the_time_they_were_written() -> None:
    """With that of their event a backfill of last month would be deleted as soon as it was written."""
    stamped = {name for name, spec in topics().items() if "message.timestamp.type" in spec.config}
    assert stamped == {"module-log-events.dlq", "module-log-events.late", "modpulse-repartition"}
    assert {topics()[name].config["message.timestamp.type"] for name in stamped} == {"LogAppendTime"}


def test_what_was_processed_of_the_repartition_topic_frees_its_disk_soon() -> None:
    """Records are deleted by offset, but the disk is freed by segments, which are 1 GiB if nobody says otherwise."""
    assert topics()["modpulse-repartition"].config["segment.bytes"] == str(64 << 20)


def test_a_window_record_outlives_its_window_and_the_time_for_corrections() -> None:
    settings = load_settings(environ={"MODPULSE_WINDOWS__SIZES": "1h,30d", "MODPULSE_WINDOWS__CORRECTIONS": "2d"})
    longest_ms = 32 * 86_400_000
    for name in ("module-metrics", "modpulse-system-partials"):
        assert int(topics(settings)[name].config["retention.ms"]) > longest_ms


@pytest.mark.parametrize(("copies", "acknowledged"), [("1", None), ("2", None), ("3", "2")])
def test_three_copies_are_acknowledged_by_two(copies: str, acknowledged: str | None) -> None:
    settings = load_settings(environ={"MODPULSE_TOPICS__REPLICATION_FACTOR": copies})
    assert {spec.config.get("min.insync.replicas") for spec in desired_topics(settings)} == {acknowledged}


def test_copies_change_nothing_of_a_topic_but_what_copies_need() -> None:
    one, three = (
        desired_topics(load_settings(overrides={"topics.replication_factor": copies}, environ={}))
        for copies in ("1", "3")
    )
    assert [spec.per_partition for spec in three] == [spec.per_partition for spec in one]
    assert any(spec.per_partition for spec in three)
    assert all(spec.config["min.insync.replicas"] == "2" for spec in three)
