"""The smaller sections: names that differ, bounds that hold, and what the core is told."""

from typing import Any, TypeVar

import pytest
from pydantic import BaseModel, ValidationError

from topology.settings.sections import (
    TOPIC_FIELDS,
    AlertSettings,
    LimitSettings,
    StorageSettings,
    TopicSettings,
    WindowSettings,
)

S = TypeVar("S", bound=BaseModel)


def made(section: type[S], **fields: Any) -> S:
    return section.model_validate(fields)


def refusal(section: type[BaseModel], **fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        made(section, **fields)
    return str(caught.value)


@pytest.mark.parametrize(("one", "other"), [("module_metrics", "dlq"), ("late", "dlq"), ("module_log_events", "late")])
def test_no_two_topics_have_one_name(one: str, other: str) -> None:
    taken = getattr(TopicSettings(), one)
    told = refusal(TopicSettings, **{other: taken})
    assert f'topics.{other} = "{taken}" is also topics.{one}; give each its own name' in told


def test_every_topic_of_the_contract_is_one_of_the_fields_that_must_differ() -> None:
    named = {name for name, field in TopicSettings.model_fields.items() if field.annotation is str}
    assert set(TOPIC_FIELDS) == named


@pytest.mark.parametrize(("field", "least", "most"), [("partitions", 1, 10_000), ("replication_factor", 1, 32_767)])
def test_topics_have_as_many_partitions_and_copies_as_kafka_grants(field: str, least: int, most: int) -> None:
    for number in (least, most):
        assert getattr(made(TopicSettings, **{field: number}), field) == number
    for wrong in (least - 1, most + 1, True, 1.5):
        assert field in refusal(TopicSettings, **{field: wrong})


def test_only_some_durations_may_be_zero() -> None:
    zero = made(WindowSettings, grace=0, corrections="0s", max_future=0, emit_interval=0).core()
    assert (zero.grace_ms, zero.corrections_ms, zero.max_future_ms, zero.emit_interval_ms) == (0, 0, 0, 0)
    assert "must be longer than 0" in refusal(WindowSettings, idle_timeout="0s")
    assert "must be longer than 0" in refusal(LimitSettings, dead_letter_window=0)


def test_the_core_gets_each_duration_under_its_own_name() -> None:
    given = {"grace": "1s", "corrections": "2s", "idle_timeout": "3s", "max_future": "4s", "emit_interval": "5s"}
    core = made(WindowSettings, sizes="10s,1m", **given).core()
    assert core.sizes == (("10s", 10_000), ("1m", 60_000))
    assert (core.grace_ms, core.corrections_ms, core.idle_timeout_ms) == (1_000, 2_000, 3_000)
    assert (core.max_future_ms, core.emit_interval_ms) == (4_000, 5_000)


def test_dead_letters_stop_nobody_unless_that_is_asked_for() -> None:
    assert LimitSettings().breaker().stop_ratio is None
    told = made(LimitSettings, dead_letter_alert_ratio="off", dead_letter_stop_ratio="0.5", dead_letter_min_records=3)
    breaker = told.breaker()
    assert (breaker.alert_ratio, breaker.stop_ratio, breaker.min_records) == (None, 0.5, 3)


@pytest.mark.parametrize("kind", ["sqlite", "file"])
def test_storage_that_is_kept_needs_a_place_to_keep_it(kind: str) -> None:
    told = refusal(StorageSettings, type=kind, path="")
    assert f"storage.type = {kind} needs storage.path; name the file or directory" in told
    assert made(StorageSettings, type=kind, path="here").type == kind
    assert made(StorageSettings, type="memory", path="").path is None
    assert made(AlertSettings, rules_file="").rules_file is None
