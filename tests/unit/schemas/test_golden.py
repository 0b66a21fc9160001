"""Golden examples of every topic: what was published under v1 must stay readable and mean the same."""

import base64
import json
from typing import Any

import jsonschema
import msgspec
import pytest

from schemas.alerts import Alert
from schemas.events import MetricSample, ModuleLogEvent
from schemas.export import TOPICS, examples, json_schema, validate
from schemas.metrics import AggregatedMetrics, HealthStatus, MetricAggregate, ModuleMetrics

RECORDS: dict[str, type[msgspec.Struct]] = {
    "module-log-events": ModuleLogEvent,
    "metric-samples": MetricSample,
    "module-metrics": ModuleMetrics,
    "system-metrics": AggregatedMetrics,
    "metric-aggregates": MetricAggregate,
    "module-alerts": Alert,
    "health-status": HealthStatus,
}
UNTOUCHED = ("module-log-events.late", "module-log-events.dlq")
VALUES = [(topic, name) for topic in RECORDS for name in sorted(examples(topic))]
SET_ASIDE = [(topic, name) for topic in UNTOUCHED for name in sorted(examples(topic))]


def without_unsent(record: Any, sent: Any) -> Any:
    """Drop the fields that were not sent, where the record holds null for them."""
    if not isinstance(record, dict) or not isinstance(sent, dict):
        return record
    kept = {name: value for name, value in record.items() if name in sent or value is not None}
    return {name: without_unsent(value, sent.get(name)) for name, value in kept.items()}


def test_every_topic_has_an_ordinary_and_an_edge_example() -> None:
    assert set(RECORDS) | set(UNTOUCHED) == set(TOPICS)
    assert all(len(examples(topic)) >= 2 for topic in TOPICS)
    assert all(name.startswith("v1-") for topic in TOPICS for name in examples(topic))


@pytest.mark.parametrize(("topic", "name"), VALUES)
def test_an_example_survives_decoding_and_encoding(topic: str, name: str) -> None:
    data = examples(topic)[name]
    sent = json.loads(data)
    again = json.loads(msgspec.json.encode(msgspec.json.decode(data, type=RECORDS[topic])))
    assert without_unsent(again, sent) == sent


@pytest.mark.parametrize(("topic", "name"), VALUES)
def test_an_example_fits_the_published_schema(topic: str, name: str) -> None:
    data = examples(topic)[name]
    jsonschema.Draft202012Validator(json_schema(topic)).validate(json.loads(data))
    assert validate(topic, data) is None


@pytest.mark.parametrize(("topic", "name"), SET_ASIDE)
def test_a_record_set_aside_says_why_in_its_headers(topic: str, name: str) -> None:
    record = json.loads(examples(topic)[name])
    headers = json_schema(topic)["$defs"]["headers"]
    jsonschema.Draft202012Validator(headers).validate(record["headers"])
    assert set(headers["required"]) <= record["headers"].keys() <= headers["properties"].keys()
    reason = record["headers"]["modpulse.errors.reason"]
    value = base64.b64decode(record["value_base64"]) if "value_base64" in record else (record["value"] or "").encode()
    found = validate("module-log-events", value)
    assert (found.split(":")[0] if found else reason) == reason
    assert (reason in {"late", "future_timestamp"}) == (found is None)
    assert (reason == "late") == topic.endswith(".late")


@pytest.mark.parametrize("name", sorted(examples("module-metrics")))
def test_a_module_metrics_example_is_consistent_in_itself(name: str) -> None:
    m = msgspec.json.decode(examples("module-metrics")[name], type=ModuleMetrics)
    times = m.response_time_ms
    assert m.total_requests == m.successful_requests + m.failed_requests
    assert m.success_rate == m.successful_requests / m.total_requests
    assert m.throughput_rps == m.total_requests / ((m.window_end - m.window_start) / 1000)
    assert m.window_start % (m.window_end - m.window_start) == 0
    assert times.min <= times.p50 <= times.p90 <= times.p95 <= times.p99 <= times.p999 <= times.max
    assert times.min <= times.avg <= times.max
