"""The limits of an event, to the last value on either side."""

import json
from typing import Any

import msgspec
import pytest

from schemas.events import MAX_GAUGE, CloudEvent, MetricSample, ModuleLogEvent

EVENT = {"module_id": "m", "timestamp": 0, "success": True, "response_time_ms": 0.0}
GAUGES = ("memory_bytes", "goroutines", "db_connections")
SAMPLE = {"name": "n", "value": 1.0, "timestamp": 0}


def decode(kind: type[Any], **fields: Any) -> Any:
    return msgspec.json.decode(json.dumps(fields), type=kind)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("module_id", ["x", "x" * 200, "\N{GRINNING FACE}" * 200], ["", "x" * 201, 1, None]),
        ("event_id", ["", "x" * 256, None], ["x" * 257, 1]),
        ("timestamp", [0, MAX_GAUGE, "any text"], [-1, MAX_GAUGE + 1, 1.5, None, True]),
        ("success", [True, False], [0, 1, "true", None]),
        ("response_time_ms", [0, -0.0, 5e-324, 1.7e308], [-5e-324, -1, "1", None]),
        *((name, [0, MAX_GAUGE, None], [-1, MAX_GAUGE + 1, 0.5, "1"]) for name in GAUGES),
        ("cpu_percent", [0, 1e300, None], [-0.1, "1"]),
        ("labels", [{}, {"a": "b"}, None], [{"a": 1}, {"a": None}, []]),
        ("unknown", [1, None, {"a": []}], []),
    ],
)
def test_a_field_of_an_event_takes_what_lies_at_its_limits_and_nothing_beyond(
    field: str, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        decode(ModuleLogEvent, **EVENT | {field: value})
    for value in bad:
        with pytest.raises(msgspec.ValidationError, match=rf"\$\.{field}"):
            decode(ModuleLogEvent, **EVENT | {field: value})


@pytest.mark.parametrize("field", list(EVENT))
def test_an_event_without_a_field_that_it_needs_is_refused_by_the_name_of_the_field(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"`{field}`"):
        decode(ModuleLogEvent, **{name: value for name, value in EVENT.items() if name != field})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "-1e400"])
def test_a_time_that_is_not_finite_is_no_json(number: str) -> None:
    text = json.dumps(EVENT | {"response_time_ms": 12345}).replace("12345", number)
    with pytest.raises((msgspec.DecodeError, msgspec.ValidationError)):
        msgspec.json.decode(text, type=ModuleLogEvent)


def test_a_sample_is_a_gauge_without_labels_unless_it_says_otherwise() -> None:
    sample = decode(MetricSample, **SAMPLE)
    assert (sample.type, sample.labels, sample.unit, sample.sample_id) == ("gauge", {}, "", None)
    for change in ({"name": ""}, {"name": "x" * 201}, {"type": "rate"}, {"sample_id": "x" * 257}):
        with pytest.raises(msgspec.ValidationError):
            decode(MetricSample, **SAMPLE | change)


def test_an_envelope_tells_data_that_is_absent_from_data_that_is_null() -> None:
    envelope = {"specversion": "1.0", "id": "1"}
    assert bytes(decode(CloudEvent, **envelope).data) == b""
    assert bytes(decode(CloudEvent, **envelope, data=None).data) == b"null"
