"""The contract as documents: a JSON Schema for each topic and one AsyncAPI document, generated from the structs.

The documents are packaged under `generated/`, golden examples under `examples/`; `drift()` tells whether the documents
still say what the structs say, and `python -m schemas.export` writes them anew. What they say of limits and of the first time
is as the defaults have it; `json_schema` and `validate` take the rules of a configuration. The size of a record is no part of
its value, and what is too far ahead of the clock only the clock can say: the schemas say neither.
"""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from schemas.alerts import Alert
from schemas.errors import ConfigError, PoisonRecord
from schemas.events import MetricSample, ModuleLogEvent
from schemas.field_notes import FIELD_NOTES
from schemas.metrics import AggregatedMetrics, HealthStatus, MetricAggregate, ModuleMetrics
from schemas.reasons import REASONS
from schemas.valid.published import refine_input
from schemas.valid.reading import valid_event
from schemas.valid.rules import EventRules, event_time
from schemas.valid.words import DECODE_ERRORS, poison

JsonObject = dict[str, Any]

CONTRACT_VERSION = "1.0.0"
DEFAULT_RULES = EventRules()
DRAFT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class _Topic:
    """What the contract says of one topic; `record` of None means any bytes."""

    record: type[msgspec.Struct] | None
    action: Literal["receive", "send"]
    key: str
    cleanup: tuple[str, ...]
    summary: str


_UNTOUCHED = "The value is the input value, untouched, byte for byte; why it is here stands in the headers."
_KEPT = ("compact", "delete")
_TOPICS: dict[str, _Topic] = {
    "module-log-events": _Topic(ModuleLogEvent, "receive", "module_id", ("delete",), "What the modules did."),
    "metric-samples": _Topic(MetricSample, "receive", "metric name", ("delete",), "Measurements of named metrics."),
    "module-metrics": _Topic(ModuleMetrics, "send", "module_id|window|start", _KEPT, "Each module, each window."),
    "system-metrics": _Topic(AggregatedMetrics, "send", "window|start", _KEPT, "The whole system, each window."),
    "metric-aggregates": _Topic(MetricAggregate, "send", "name|labels|window|start", _KEPT, "Each metric and window."),
    "module-alerts": _Topic(Alert, "send", "alert fingerprint", _KEPT, "Alerts and their changes."),
    "health-status": _Topic(HealthStatus, "send", "check or module name", ("compact",), "The newest health of each."),
    "module-log-events.late": _Topic(None, "send", "as the input", ("delete",), "Events too late for their window."),
    "module-log-events.dlq": _Topic(None, "send", "as the input", ("delete",), "Records that cannot be used."),
}
TOPICS: tuple[str, ...] = tuple(_TOPICS)
_KEY_FIELDS = {"start": "window_start", "alert fingerprint": "fingerprint", "check or module name": "name"}


def json_schema(topic: str, rules: EventRules = DEFAULT_RULES) -> JsonObject:
    """Return the JSON Schema (2020-12) of a topic's values, under the limits of a configuration.

    The schema of a late or dead-letter topic accepts anything and describes the record's headers under `$defs`.
    """
    entry = _topic(topic)
    head: JsonObject = {"$schema": DRAFT, "$id": f"urn:modpulse:schema:{topic}:v1", "title": topic}
    if entry.record is None:
        return head | {"description": f"{entry.summary} {_UNTOUCHED}", "$defs": {"headers": _headers(topic, entry)}}
    _, components = msgspec.json.schema_components((entry.record,), ref_template="#/$defs/{name}")
    definitions = _refined(components, rules)
    root = definitions.pop(entry.record.__name__)
    root["description"] = f"{entry.summary} {root['description']}"
    return head | {k: v for k, v in root.items() if k != "title"} | ({"$defs": definitions} if definitions else {})


def asyncapi(rules: EventRules = DEFAULT_RULES) -> JsonObject:
    """Return the AsyncAPI 3.1 document of all topics, under the limits of a configuration.

    It is seen from the worker, which receives inputs and sends outputs.
    """
    records = [entry.record for entry in _TOPICS.values() if entry.record is not None]
    _, components = msgspec.json.schema_components(records, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "modpulse",
            "version": CONTRACT_VERSION,
            "description": "Exact event-time metrics, health and alerts for a fleet of services, on Kafka.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "Read outputs with isolation.level=read_committed: they are written in transactions.",
                "variables": {"bootstrap": {"default": "localhost:9092", "description": "kafka.bootstrap.servers"}},
            }
        },
        "channels": {topic: _channel(topic, entry) for topic, entry in _TOPICS.items()},
        "operations": {
            f"{entry.action}-{topic.replace('.', '-')}": {
                "action": entry.action,
                "channel": {"$ref": f"#/channels/{topic}"},
            }
            for topic, entry in _TOPICS.items()
        },
        "components": {
            "messages": {topic: _message(topic, entry) for topic, entry in _TOPICS.items()},
            "schemas": _refined(components, rules),
        },
    }


def validate(topic: str, data: bytes, rules: EventRules = DEFAULT_RULES) -> str | None:
    """Judge one value as the worker does: None when it is right, or the reason and the message of its dead letter.

    A Confluent frame and a CloudEvents envelope are taken off an event. The clock's part (`future_timestamp`) is the worker's.
    """
    record = _topic(topic).record
    if record is None:
        return None
    try:
        if record is ModuleLogEvent:
            valid_event(data, rules)
        else:
            value = _decoded(record, data)
            if isinstance(value, MetricSample):
                event_time(value.timestamp, rules)
    except PoisonRecord as why:
        return f"{why.reason}: {why.message}"
    return None


def documents() -> dict[str, str]:
    """Return every generated document as text, by file name."""
    generated = {f"{topic}.schema.json": json_schema(topic) for topic in TOPICS} | {"asyncapi.json": asyncapi()}
    return {name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in generated.items()}


def packaged() -> dict[str, str]:
    """Return the documents that ship with the package, by file name."""
    return {file.name: file.read_text("utf-8") for file in (resources.files("schemas") / "generated").iterdir()}


def drift(shipped: Mapping[str, str]) -> list[str]:
    """Return the names of documents that are missing, superfluous or no longer what the structs say."""
    current = documents()
    return sorted(name for name in current.keys() | shipped.keys() if current.get(name) != shipped.get(name))


def examples(topic: str) -> dict[str, bytes]:
    """Return the golden examples of a topic, by file name.

    They are values, except on the late and dead-letter topics, where they are whole records: `key`, `headers` and
    `value` (or `value_base64` where it is no text).
    """
    _topic(topic)
    return {file.name: file.read_bytes() for file in (resources.files("schemas") / "examples" / topic).iterdir()}


def _topic(topic: str) -> _Topic:
    if topic not in _TOPICS:
        raise ConfigError(f"unknown topic {topic!r}; the contract has {', '.join(TOPICS)}")
    return _TOPICS[topic]


@cache
def _decoder(record: type[msgspec.Struct]) -> msgspec.json.Decoder[msgspec.Struct]:
    return msgspec.json.Decoder(record)


def _decoded(record: type[msgspec.Struct], data: bytes) -> msgspec.Struct:
    """One value; integers may be written with a point or an exponent, as JSON Schema allows.

    Raises:
        PoisonRecord: the value is none of these.
    """
    try:
        try:
            return _decoder(record).decode(data)
        except msgspec.ValidationError:
            return msgspec.convert(_whole(msgspec.json.decode(data)), record)
    except DECODE_ERRORS as error:
        raise poison(error, data) from error


def _whole(node: Any) -> Any:
    if isinstance(node, float) and node.is_integer():
        return int(node)
    if isinstance(node, dict):
        return {name: _whole(value) for name, value in node.items()}
    return [_whole(value) for value in node] if isinstance(node, list) else node


def _refined(components: Mapping[str, JsonObject], rules: EventRules) -> dict[str, JsonObject]:
    """Add to generated components the rules the types do not carry, what each field means, and texts laid out."""
    refined = {n: c | {"description": inspect.cleandoc(c["description"])} for n, c in components.items()}
    for name, component in refined.items():
        notes = FIELD_NOTES.get(name, {})
        for field, schema in component["properties"].items():
            if field in notes:
                schema["description"] = notes[field]
    for name in {ModuleLogEvent.__name__, MetricSample.__name__} & refined.keys():
        refine_input(refined[name]["properties"], rules)
    return refined


def _channel(topic: str, entry: _Topic) -> JsonObject:
    kafka = {"topic": topic, "topicConfiguration": {"cleanup.policy": list(entry.cleanup)}, "bindingVersion": "0.5.0"}
    return {
        "address": topic,
        "description": entry.summary,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {"record": {"$ref": f"#/components/messages/{topic}"}},
        "bindings": {"kafka": kafka},
    }


def _message(topic: str, entry: _Topic) -> JsonObject:
    if entry.record is None:
        name, content_type, payload = topic, "application/octet-stream", {"description": _UNTOUCHED}
    else:
        name, content_type = entry.record.__name__, "application/json"
        payload = {"$ref": f"#/components/schemas/{name}"}
    kafka = {"key": {"type": "string", "description": entry.key}, "bindingVersion": "0.5.0"}
    return {
        "name": name,
        "summary": entry.summary,
        "contentType": content_type,
        "headers": _headers(topic, entry),
        "payload": payload,
        "examples": [_example(topic, entry, file, text) for file, text in sorted(examples(topic).items())],
        "bindings": {"kafka": kafka},
    }


def _headers(topic: str, entry: _Topic) -> JsonObject:
    """Return the schema of a record's headers, all of them UTF-8 text."""
    text: JsonObject = {"type": "string"}
    if entry.action == "receive":
        modes = (
            "`application/cloudevents...` means a CloudEvents 1.0 envelope in structured mode. Optional: a value with the members"
            " `specversion` and `data` or `data_base64` that is no event itself is taken for one without it."
        )
        return {"type": "object", "properties": {"content-type": text | {"description": modes}}}
    if entry.record is None:
        number = text | {"pattern": "^-?[0-9]+$"}
        fields: JsonObject = {
            "reason": text | {"enum": list(REASONS)},
            "message": text | {"description": "what is wrong, for people"},
            "topic": text | {"description": "where the record was read"},
            "partition": number,
            "offset": number,
            "timestamp": number | {"description": "the record's own Kafka timestamp, epoch ms"},
        }
        sometimes: JsonObject = {
            "truncated": text
            | {"description": "which parts are not whole and how many bytes they had: key=9437184,value=70"},
            "first_offset": number | {"description": "of the batch, where the letter stands for all records of one"},
            "last_offset": number,
            "records": number | {"description": "how many it stands for; its value is the batch as it was fetched"},
        }
        properties = {f"modpulse.errors.{name}": schema for name, schema in (fields | sometimes).items()}
        return {
            "type": "object",
            "properties": properties,
            "required": [f"modpulse.errors.{name}" for name in fields],
        }
    properties = {
        "ce_specversion": text | {"const": "1.0", "description": "version of CloudEvents"},
        "ce_id": text
        | {"description": "topic, key and revision, separated by slashes: the same on every replay of the same record"},
        "ce_type": text | {"const": _ce_type(topic), "description": "which record this is, with its major version"},
        "ce_source": text
        | {"pattern": "^/modpulse/", "description": "/modpulse/ and the application id that wrote it"},
        "ce_time": text
        | {
            "format": "date-time",
            "description": "when the record was made, by the worker's clock, RFC 3339 in UTC: `last_updated` or"
            " `updated_at` of the value; event times stand in the value alone",
        },
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _ce_type(topic: str) -> str:
    return f"modpulse.{topic}.v1"


def _example(topic: str, entry: _Topic, file: str, data: bytes) -> JsonObject:
    """A golden example as a message: what has no example of its own headers gets those that the worker would write."""
    name = file.removesuffix(".json").removeprefix("v1-")
    record = json.loads(data)
    if entry.record is None:
        payload = record.get("value_base64", record.get("value"))
        return {"name": name, "headers": record["headers"], "payload": payload}
    if entry.action == "receive":
        return {"name": name, "payload": record}
    return {"name": name, "headers": _example_headers(topic, entry, record), "payload": record}


def _label_text(labels: Mapping[str, str]) -> str:
    escaped = {n: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for n, v in sorted(labels.items())}
    return ",".join(f'{name}="{value}"' for name, value in escaped.items())


def _example_headers(topic: str, entry: _Topic, record: JsonObject) -> JsonObject:
    parts = (record[_KEY_FIELDS.get(part, part)] for part in entry.key.split("|"))
    key = "|".join(_label_text(part) if isinstance(part, dict) else str(part) for part in parts)
    made_ms = record["last_updated" if "last_updated" in record else "updated_at"]
    return {
        "ce_specversion": "1.0",
        "ce_id": f"{topic}/{key}/{record.get('revision', 1)}",
        "ce_type": _ce_type(topic),
        "ce_source": "/modpulse/modpulse",
        "ce_time": datetime.fromtimestamp(made_ms / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
    }


def main() -> None:
    """Write the generated documents into the checkout."""
    folder = Path(__file__).parent / "generated"
    for name, text in documents().items():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
