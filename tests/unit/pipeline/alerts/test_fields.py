"""Which fields rules may name: those of the published records that are a function of the events, and no others."""

from typing import Any

import msgspec
import pytest

from pipeline.alerts.expression import Expression
from pipeline.alerts.fields import EXAMPLES, FIELDS, SCOPES, Scope, _leaves

BY_KIND: dict[str, tuple[type, ...]] = {"number": (int, float), "text": (str,), "list": (list,)}


def published(value: Any, path: str = "") -> dict[str, Any]:
    """Each leaf of a record as it is published, by its dotted path."""
    if not isinstance(value, dict):
        return {path: value}
    prefix = f"{path}." if path else ""
    return {name: leaf for key, one in value.items() for name, leaf in published(one, f"{prefix}{key}").items()}


@pytest.mark.parametrize("scope", SCOPES)
def test_every_field_of_a_scope_can_be_read(scope: Scope) -> None:
    for path, field in FIELDS[scope].items():
        expected = {"number": "-1.5", "text": "''", "list": "[]"}[field.kind]
        text = f"{path} == null" if field.choices else f"{path} == {expected}"
        assert Expression(text, scope, None).evaluate(EXAMPLES[scope]) is False


@pytest.mark.parametrize("scope", SCOPES)
def test_every_published_field_has_a_name_but_those_that_a_replay_would_change(scope: Scope) -> None:
    leaves = published(msgspec.json.decode(msgspec.json.encode(EXAMPLES[scope])))
    assert set(leaves) - set(FIELDS[scope]) == {"revision", "last_updated"} | ({"sketch"} & set(leaves))
    assert set(FIELDS[scope]) <= set(leaves)
    for path, value in leaves.items():
        if path in FIELDS[scope] and value is not None:
            assert isinstance(value, BY_KIND[FIELDS[scope][path].kind]), path


@pytest.mark.parametrize("scope", SCOPES)
def test_a_text_of_few_values_lists_all_that_the_record_can_have(scope: Scope) -> None:
    level = {"module": "health.status", "system": "overall_health"}[scope]
    choices = {path: set(field.choices) for path, field in FIELDS[scope].items() if field.choices}
    assert choices == {
        "status": {"provisional", "final", "corrected"},
        level: {"healthy", "degraded", "critical"},
    }


def test_a_record_type_that_rules_cannot_read_is_a_mistake_that_names_the_field() -> None:
    class Odd(msgspec.Struct):
        inner: dict[str, int]

    with pytest.raises(TypeError, match=r"^group\.inner: rules cannot read a "):
        _leaves(msgspec.inspect.type_info(Odd), "group")


@pytest.mark.parametrize("scope", SCOPES)
def test_a_rule_may_compare_every_field_that_the_docs_list(scope: Scope) -> None:
    """What a rule is tried on when it is loaded has every field: one that is null there would refuse good rules."""
    assert [path for path, value in published(msgspec.to_builtins(EXAMPLES[scope])).items() if value is None] == []
