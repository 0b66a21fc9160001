"""The page of settings: for each a row, with the reason that stands above it in the source."""

import re
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, BeforeValidator

from topology.docs.settings_page import _choices, _properties, _reasons, page
from topology.settings import Settings, setting_names
from topology.settings.kafka import PROPERTIES


class Example(BaseModel):
    """Not a reason."""

    # One line.
    first: int = 1
    # Two lines
    # of it.
    second: int = 2
    third: str = "# not a reason"

    kind: Literal["a", "b"] = "a"  # beside it is not above it
    # Of the last.
    last: int = 3


def test_every_setting_has_a_row_and_a_reason() -> None:
    rows = dict(re.findall(r"^\| `([a-z0-9_.]+)` \| `MODPULSE_.*\| (.*) \|$", page(), re.MULTILINE))
    assert set(rows) == set(setting_names())
    assert all(rows.values())


def test_a_field_without_a_comment_of_its_own_shares_the_one_before_it() -> None:
    assert _reasons(Example) == {
        "first": "One line.",
        "second": "Two lines of it.",
        "third": "Two lines of it.",
        "kind": "Two lines of it.",
        "last": "Of the last.",
    }


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Literal["a", "b"], "One of `a`, `b`."),
        (Annotated[Literal["a"] | None, BeforeValidator(str)], ""),
        (Literal["a", "b"] | None, "One of `a`, `b`."),
        (str | None, ""),
        (int, ""),
    ],
)
def test_choices_are_named_where_only_certain_texts_are_allowed(annotation: object, said: str) -> None:
    assert _choices(annotation) == said


def test_every_table_has_as_many_cells_as_columns() -> None:
    for block in re.findall(r"(?:^\|.*\|\n)+", page(), re.MULTILINE):
        head, rule, *rows = block.splitlines()
        assert set(rule) == {"|", "-"}
        assert rows
        assert {row.count("|") for row in rows} == {head.count("|")}


def test_every_property_stands_once_beside_the_setting_it_means() -> None:
    found = re.findall(r"^\| (`.+`) \| `kafka\.(\w+)` \|$", _properties(), re.MULTILINE)
    told = {name.strip("` "): field for names, field in found for name in names.split(",")}
    assert told == PROPERTIES
    assert len(found) == len(set(PROPERTIES.values())), "two spellings share a row"


def test_no_secret_and_no_path_of_this_machine_is_a_default() -> None:
    rows = dict(re.findall(r"^\| `([a-z0-9_.]+)` \| `MODPULSE_\w+` \| (.*?) \|", page(), re.MULTILINE))
    assert set(rows) == set(setting_names())
    assert (rows["kafka.sasl_password"], rows["alerts.rules_file"]) == ("", "")
    assert rows["windows.grace"] == f"`{Settings().windows.grace // 1000}s`"
