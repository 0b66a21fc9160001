"""The generated documents: they say what the structs say, all of it, and a change of either is noticed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from schemas import export
from schemas.errors import ConfigError
from schemas.events import ModuleLogEvent
from schemas.export import TOPICS, asyncapi, documents, drift, json_schema, packaged, validate
from tests.support.records.poison import GOOD_ODDITIES, POISON, GoodOddity, PoisonKind

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
LABEL_LIMITS = {"too_many_labels", "label_value_too_long", "label_key_too_long"}
# Dates that only a calendar refuses: `format: date-time` names the rule, a pattern cannot hold it.
CALENDAR = {"timestamp_february_29", "timestamp_before_1970"}
# To JSON Schema 1.7e12 is an integer and a number may be of any size; the decoder takes neither.
NUMBERS = {"timestamp_exponent", "timestamp_huge"}
NUMBERS |= {"response_time_ms_5000_digits", "response_time_ms_1e400", "cpu_percent_1e400"}


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
    return value is not None and value[:1] != b"\x00" and not enveloped


BAD = [kind for kind in POISON if plain(kind.headers, kind.value)]
UNDECODABLE = [kind for kind in BAD if kind.reason == "undecodable"]
INVALID = [kind for kind in BAD if kind.reason == "invalid" and kind.name not in LABEL_LIMITS | CALENDAR]
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
def test_the_published_schema_or_the_decoder_refuses_what_breaks_the_contract(kind: PoisonKind) -> None:
    """Some numbers are left to the decoder alone."""
    found = validate("module-log-events", kind.value or b"")
    assert found is None or found.startswith("invalid: ")
    if kind.name in NUMBERS:
        assert found is not None
    else:
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


def test_validation_passes_anything_on_the_topics_of_untouched_values() -> None:
    assert validate("module-log-events.dlq", b"\xff") is None


def test_an_unknown_topic_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown topic 'modul-metrics'; the contract has module-log-events, .*dlq"):
        json_schema("modul-metrics")
