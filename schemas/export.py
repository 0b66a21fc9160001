"""The contract as documents: a JSON Schema for each topic and one AsyncAPI document, generated from the structs.

The documents are packaged under `generated/`, golden examples under `examples/`; `drift()` tells whether the documents
still say what the structs say, and `python -m schemas.export` writes them anew. What depends on the configuration
(topic names, label and size limits) is not in them.
"""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from schemas.alerts import Alert
from schemas.errors import ConfigError
from schemas.events import MetricSample, ModuleLogEvent
from schemas.metrics import AggregatedMetrics, HealthStatus, MetricAggregate, ModuleMetrics
from schemas.reasons import REASONS

JsonObject = dict[str, Any]

CONTRACT_VERSION = "1.0.0"
DRAFT = "https://json-schema.org/draft/2020-12/schema"

# Rules the worker enforces beyond the types. They are written here because msgspec would pay for a pattern per event.
FORBIDDEN_IN_ID = r"[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
RFC3339 = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)


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


def json_schema(topic: str) -> JsonObject:
    """Return the JSON Schema (2020-12) of a topic's values.

    The schema of a late or dead-letter topic accepts anything and describes the record's headers under `$defs`.
    """
    entry = _topic(topic)
    head: JsonObject = {"$schema": DRAFT, "$id": f"urn:modpulse:schema:{topic}:v1", "title": topic}
    if entry.record is None:
        return head | {"description": f"{entry.summary} {_UNTOUCHED}", "$defs": {"headers": _headers(entry)}}
    _, components = msgspec.json.schema_components((entry.record,), ref_template="#/$defs/{name}")
    definitions = _refined(components)
    root = definitions.pop(entry.record.__name__)
    root["description"] = f"{entry.summary} {root['description']}"
    return head | {k: v for k, v in root.items() if k != "title"} | ({"$defs": definitions} if definitions else {})


def asyncapi() -> JsonObject:
    """Return the AsyncAPI 3.1 document of all topics, seen from the worker: it receives inputs and sends outputs."""
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
            "schemas": _refined(components),
        },
    }


def validate(topic: str, data: bytes) -> str | None:
    """Decode one value with the topic's type and return `undecodable: ...` or `invalid: ...`, or None when it fits.

    Rules that need more than the type (characters of an id, the text of a time, configured limits) are the ingest's.
    """
    decoder = _decoder(topic)
    if decoder is None:
        return None
    try:
        decoder.decode(data)
    except msgspec.ValidationError as error:
        return f"invalid: {error}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"undecodable: {error}"
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
def _decoder(topic: str) -> msgspec.json.Decoder[msgspec.Struct] | None:
    record = _topic(topic).record
    return None if record is None else msgspec.json.Decoder(record)


def _refined(components: Mapping[str, JsonObject]) -> dict[str, JsonObject]:
    """Add to generated components the rules the types do not carry, and lay their descriptions out as text."""
    refined = {n: c | {"description": inspect.cleandoc(c["description"])} for n, c in components.items()}
    for name in {ModuleLogEvent.__name__, MetricSample.__name__} & refined.keys():
        properties = refined[name]["properties"]
        for alternative in properties["timestamp"]["anyOf"]:
            if alternative["type"] == "string":
                alternative.update(format="date-time", pattern=RFC3339)
        if "module_id" in properties:
            properties["module_id"]["description"] = "no control (Cc) and no bidirectional control characters"
            properties["module_id"]["not"] = {"pattern": FORBIDDEN_IN_ID}
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
        "contentType": content_type,
        "headers": _headers(entry),
        "payload": payload,
        "bindings": {"kafka": kafka},
    }


def _headers(entry: _Topic) -> JsonObject:
    """Return the schema of a record's headers, all of them UTF-8 text."""
    text: JsonObject = {"type": "string"}
    if entry.action == "receive":
        modes = "`application/cloudevents...` means a CloudEvents 1.0 envelope in structured mode; optional"
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
        "ce_specversion": text | {"const": "1.0"},
        "ce_id": text | {"description": "a pure function of topic, key and revision: the same on every replay"},
        "ce_type": text,
        "ce_source": text,
        "ce_time": text | {"format": "date-time"},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def main() -> None:
    """Write the generated documents into the checkout."""
    folder = Path(__file__).parent / "generated"
    for name, text in documents().items():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
