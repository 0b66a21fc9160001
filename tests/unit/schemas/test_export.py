"""The generated documents: they say what the structs say, all of it, and a change of either is noticed."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from schemas import export
from schemas.errors import ConfigError
from schemas.events import ModuleLogEvent
from schemas.export import TOPICS, asyncapi, documents, drift, examples, json_schema, packaged, validate
from schemas.field_notes import FIELD_NOTES
from schemas.valid.rules import EventRules
from tests.support.records.poison import AT_MS, GOOD_ODDITIES, POISON, GoodOddity, PoisonKind, raw
from topology.producer.addressed import Addresses
from topology.settings import Settings

CONTRACT = {
    "module-log-events": ("receive", ["delete"]),
    "metric-samples": ("receive", ["delete"]),
    "module-metrics": ("send", ["compact", "delete"]),
    "system-metrics": ("send", ["compact", "delete"]),
    "metric-aggregates": ("send", ["compact", "delete"]),
    "module-alerts": ("send", ["compact", "delete"]),
    "health-status": ("send", ["compact"]),
    "module-log-events.late": ("send", ["delete"]),
    "module-log-events.dlq": ("send", ["delete"]),
}
# More digits than Python's own JSON reader takes.
UNREADABLE = {"timestamp_huge", "response_time_ms_5000_digits"}


def references(node: Any) -> list[str]:
    """Return every $ref below a node."""
    if isinstance(node, list):
        return [found for item in node for found in references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for value in node.values() for found in references(value)]


def resolve(document: Any, reference: str) -> Any:
    """Return what a local reference points to."""
    node = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def plain(headers: tuple[tuple[str, bytes | None], ...], value: bytes | None) -> bool:
    """Tell whether a record's value is the event itself, without a frame or an envelope."""
    enveloped = any(name == "content-type" and b"cloudevents" in (text or b"").lower() for name, text in headers)
    return value is not None and value[:1] != b"\x00" and not enveloped and not value.startswith(b'{"specversion"')


BAD = [kind for kind in POISON if plain(kind.headers, kind.value)]
UNDECODABLE = [kind for kind in BAD if kind.reason == "undecodable"]
INVALID = [kind for kind in BAD if kind.reason == "invalid"]
ODD = [oddity for oddity in GOOD_ODDITIES if plain(oddity.headers, oddity.value)]


def test_the_packaged_documents_are_what_the_structs_say() -> None:
    assert drift(packaged()) == [], "run python -m schemas.export"


def test_documents_are_the_same_on_every_call() -> None:
    assert documents() == documents()


def test_a_changed_missing_or_superfluous_document_is_drift() -> None:
    shipped = documents()
    changed = shipped | {"asyncapi.json": shipped["asyncapi.json"].replace('"minimum": 0', '"minimum": 1', 1)}
    missing = {name: text for name, text in shipped.items() if name != "module-alerts.schema.json"}
    assert drift(changed) == ["asyncapi.json"]
    assert drift(missing) == ["module-alerts.schema.json"]
    assert drift(shipped | {"old.schema.json": "{}"}) == ["old.schema.json"]


def test_a_changed_struct_is_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    class ModuleLogEventNext(ModuleLogEvent, frozen=True):
        """One request, with one field more."""

        tenant: str | None = None

    entry = replace(export._TOPICS["module-log-events"], record=ModuleLogEventNext)
    monkeypatch.setitem(export._TOPICS, "module-log-events", entry)
    assert drift(packaged()) == ["asyncapi.json", "module-log-events.schema.json"]


def test_main_writes_the_documents_into_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "generated").mkdir()
    monkeypatch.setattr(export, "__file__", str(tmp_path / "export.py"))
    export.main()
    assert {file.name: file.read_text("utf-8") for file in (tmp_path / "generated").iterdir()} == documents()


@pytest.mark.parametrize("topic", TOPICS)
def test_each_schema_is_a_schema_and_names_itself(topic: str) -> None:
    schema = json_schema(topic)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert (schema["$id"], schema["title"]) == (f"urn:modpulse:schema:{topic}:v1", topic)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["description"]
    assert all(resolve(schema, reference) for reference in references(schema))


def test_the_document_holds_every_contract_topic_with_its_direction_and_cleanup() -> None:
    document = asyncapi()
    operations = {
        o["channel"]["$ref"].removeprefix("#/channels/"): o["action"] for o in document["operations"].values()
    }
    found = {
        topic: (operations[topic], channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"])
        for topic, channel in document["channels"].items()
    }
    assert found == CONTRACT
    assert tuple(CONTRACT) == TOPICS
    assert all(channel["address"] == topic for topic, channel in document["channels"].items())


def test_every_reference_in_the_document_resolves() -> None:
    document = asyncapi()
    found = references(document)
    assert len(found) > 30
    assert all(resolve(document, reference) for reference in found)
    assert document["asyncapi"] == "3.1.0"
    assert [server["protocol"] for server in document["servers"].values()] == ["kafka"]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_message_names_its_key_its_headers_and_its_payload(topic: str) -> None:
    document = asyncapi()
    message = resolve(document, document["channels"][topic]["messages"]["record"]["$ref"])
    assert message["bindings"]["kafka"]["key"]["description"]
    names = set(message["headers"]["properties"])
    if topic.endswith((".late", ".dlq")):
        always = [
            f"modpulse.errors.{name}" for name in ("reason", "message", "topic", "partition", "offset", "timestamp")
        ]
        sometimes = {f"modpulse.errors.{name}" for name in ("truncated", "first_offset", "last_offset", "records")}
        assert names == {*always, *sometimes}
        assert message["headers"]["required"] == always
        assert "type" not in message["payload"]
        return
    if CONTRACT[topic][0] == "send":
        assert names == {"ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time"}
    else:
        assert names == {"content-type"}
    assert message["headers"].get("required", []) == (list(message["headers"]["properties"]) if len(names) > 1 else [])


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if not topic.endswith((".late", ".dlq"))])
def test_the_document_and_the_schema_describe_the_same_fields(topic: str) -> None:
    document = asyncapi()
    message = resolve(document, document["channels"][topic]["messages"]["record"]["$ref"])
    component = resolve(document, message["payload"]["$ref"])
    record = export._TOPICS[topic].record
    assert record is not None
    fields = [field.encode_name for field in msgspec.structs.fields(record)]
    assert list(component["properties"]) == list(json_schema(topic)["properties"]) == fields


@pytest.mark.parametrize("kind", UNDECODABLE, ids=lambda kind: kind.name)
def test_what_is_no_json_is_undecodable(kind: PoisonKind) -> None:
    found = validate("module-log-events", kind.value or b"")
    assert found is not None
    assert found.startswith("undecodable: ")


@pytest.mark.parametrize("kind", INVALID, ids=lambda kind: kind.name)
def test_what_breaks_the_contract_is_refused_by_validate_and_by_the_published_schema(kind: PoisonKind) -> None:
    assert (validate("module-log-events", kind.value or b"") or "").startswith("invalid: ")
    if kind.name not in UNREADABLE:
        fits = jsonschema.Draft202012Validator(json_schema("module-log-events")).is_valid
        assert not fits(json.loads(kind.value or b""))


@pytest.mark.parametrize("oddity", ODD, ids=lambda oddity: oddity.name)
def test_the_published_schema_and_the_decoder_accept_odd_records(oddity: GoodOddity) -> None:
    assert validate("module-log-events", oddity.value) is None
    jsonschema.Draft202012Validator(json_schema("module-log-events")).validate(json.loads(oddity.value))


def test_the_lists_of_records_are_as_long_as_they_should_be() -> None:
    """A list that lost its entries would make the tests above pass on nothing."""
    assert {kind.reason for kind in POISON} == {"undecodable", "invalid", "future_timestamp", "too_large"}
    assert len({kind.name for kind in POISON}) == len(POISON) > 150
    assert len({oddity.module_id for oddity in GOOD_ODDITIES}) == len(GOOD_ODDITIES) > 50
    assert (len(UNDECODABLE) > 40, len(INVALID) > 80, len(ODD) > 45) == (True, True, True)


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if not topic.endswith((".late", ".dlq"))])
def test_every_field_says_what_it_means(topic: str) -> None:
    document = json_schema(topic)
    for name, part in {"root": document, **document.get("$defs", {})}.items():
        for field, schema in part["properties"].items():
            assert len(schema.get("description", "")) > 10, f"{name}.{field} has no line in schemas/field_notes.py"


def test_no_note_is_about_a_field_that_is_not_there() -> None:
    components = asyncapi()["components"]["schemas"]
    stale = {name: notes.keys() - components[name]["properties"].keys() for name, notes in FIELD_NOTES.items()}
    assert {name: fields for name, fields in stale.items() if fields} == {}


@pytest.mark.parametrize("topic", TOPICS)
def test_each_message_has_examples_that_fit_its_headers_and_its_payload(topic: str) -> None:
    document = asyncapi()
    message = document["components"]["messages"][topic]
    assert len(message["examples"]) >= 2
    for example in message["examples"]:
        payload = message["payload"]
        if "$ref" in payload:
            payload = resolve(document, payload["$ref"]) | {"components": document["components"]}
        jsonschema.Draft202012Validator(payload).validate(example["payload"])
        jsonschema.Draft202012Validator(message["headers"]).validate(example.get("headers", {}))


def test_the_headers_are_those_the_worker_writes() -> None:
    """Its fixed ones, at least; the id and the time are in the property tests of the producer."""
    addresses = Addresses(Settings())
    for topic in ("module-metrics", "system-metrics", "module-alerts", "health-status"):
        said = dict(addresses._fixed_headers[topic.replace("-", "_")])  # type: ignore[index]
        headers = asyncapi()["components"]["messages"][topic]["headers"]
        assert headers["properties"]["ce_type"]["const"] == (said["ce_type"] or b"").decode()
        assert re.match(headers["properties"]["ce_source"]["pattern"], (said["ce_source"] or b"").decode())
        assert set(said) | {"ce_id", "ce_time"} == set(headers["required"]) == set(headers["properties"])


def test_limits_of_a_configuration_hold_in_its_schema_and_in_its_judgement() -> None:
    rules = EventRules(max_record_bytes=200, max_labels=1, min_timestamp_ms=0)
    fits = jsonschema.Draft202012Validator(json_schema("module-log-events", rules)).is_valid
    two = raw(AT_MS, ',"labels":{"a":"b","c":"d"}')
    for value, mine, usual in (
        (two, "invalid: 2 labels; limits.max_labels allows 1", None),
        (
            raw(0),
            None,
            "invalid: timestamp 0 lies before windows.min_timestamp = 1973-01-01T00:00:00Z; send epoch milliseconds",
        ),
        (
            raw(AT_MS, timestamp='"1971-01-01T00:00:00Z"'),
            None,
            "invalid: timestamp '1971-01-01T00:00:00Z' lies before ",
        ),
    ):
        assert validate("module-log-events", value, rules) == mine
        assert fits(json.loads(value)) == (mine is None)
        assert (validate("module-log-events", value) or "").startswith(usual or "")
    large = raw(AT_MS, ',"x":"' + "x" * 200 + '"')
    assert (validate("module-log-events", large, rules) or "").startswith("too_large: ")


@pytest.mark.parametrize(
    ("topic", "value", "expected"),
    [
        (
            "metric-samples",
            b'{"name":"m","value":1,"timestamp":1780315200}',
            "invalid: timestamp 1780315200 is in seconds",
        ),
        ("metric-samples", b'{"name":"m","value":1,"timestamp":1780315200000.0}', None),
        (
            "metric-samples",
            b'{"name":"m","value":1,"timestamp":"yesterday"}',
            "invalid: timestamp 'yesterday' is not RFC",
        ),
        ("health-status", b'{"name":"m"}', "invalid: the field kind is missing"),
        ("health-status", b"{", "undecodable: the value ends after 1 bytes"),
    ],
)
def test_values_of_other_topics_are_judged_by_their_schema(topic: str, value: bytes, expected: str | None) -> None:
    found = validate(topic, value)
    assert found is None if expected is None else (found or "").startswith(expected)
    if found is None or not found.startswith("undecodable"):
        assert jsonschema.Draft202012Validator(json_schema(topic)).is_valid(json.loads(value)) == (found is None)


def test_whole_numbers_with_a_point_fit_every_topic() -> None:
    for topic in TOPICS:
        for data in examples(topic).values() if not topic.endswith((".late", ".dlq")) else ():
            assert validate(topic, re.sub(rb"(: -?\d{1,15})(,?\n)", rb"\1.0\2", data)) is None


def test_validation_passes_anything_on_the_topics_of_untouched_values() -> None:
    assert validate("module-log-events.dlq", b"\xff") is None


def test_an_unknown_topic_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown topic 'modul-metrics'; the contract has module-log-events, .*dlq"):
        json_schema("modul-metrics")
