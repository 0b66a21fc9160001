"""The lines of rules and their keys, found without being misled by texts and comments that look like them."""

import tomllib

import pytest

from pipeline.alerts.toml_lines import error_line, rule_lines


def found(text: str) -> list[tuple[int, dict[str, int]]]:
    """Header and keys of each rule; the text must be TOML, as it always is when lines are asked for."""
    tomllib.loads(text)
    return [(rule.header, rule.keys) for rule in rule_lines(text)]


def test_keys_are_of_the_rule_above_them_and_dotted_below_a_table() -> None:
    text = """
[[rule]]
name = "A"
[rule.labels]
team = "core"
tier.one = "x"

  [[ rule ]]
    name = "B"
  [rule.annotations]
    summary = "text"
"""
    assert found(text) == [
        (2, {"name": 3, "labels.team": 5, "labels.tier.one": 6}),
        (8, {"name": 9, "annotations.summary": 11}),
    ]


@pytest.mark.parametrize(
    "value",
    [
        '"""\n[[rule]]\nname = 1\n"""',
        "'''\n[[rule]]\nname = 1\n'''",
        '"""a \\""" [[rule]]\n[[rule]]\n"""',
        '"""\n[[rule]]""\n"""""',
        '"# no comment" # [[rule]]',
        "'# no comment'",
        '"\\"[[rule]]"',
        "'\\'",
        "5 # it's \"half a text\n# [[rule]]",
    ],
)
def test_what_stands_in_a_text_or_a_comment_is_neither_a_rule_nor_a_key(value: str) -> None:
    lines = value.count("\n")
    assert found(f"[[rule]]\nvalue = {value}\nlast = 1\n[[rule]]\n") == [
        (1, {"value": 2, "last": 3 + lines}),
        (4 + lines, {}),
    ]


def test_quotes_in_comments_hide_nothing_between_them() -> None:
    assert found('[[rule]]\na = 1 # """\nb = 2 # """ \'\nc = 3 # \'\n') == [(1, {"a": 2, "b": 3, "c": 4})]


def test_keys_may_be_quoted() -> None:
    text = "[[rule]]\n\"name\" = 'A'\n'window' = '1m'\n[rule.\"labels\"]\n\"team a\" = 'x'\n"
    assert found(text) == [(1, {"name": 2, "window": 3, "labels.team a": 5})]


def test_lines_are_counted_alike_with_either_line_end() -> None:
    text = '[[rule]]\nname = "A"\nexpression = """\na\n"""\n[rule.labels]\nteam = "x"\n'
    assert found(text.replace("\n", "\r\n")) == found(text) == [(1, {"name": 2, "expression": 3, "labels.team": 7})]


def test_a_text_without_rules_has_no_lines() -> None:
    assert found("") == found("name = 1\n[rules]\nname = 2\n") == []


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nb = \nc = 3\n", 2), ("= 1", 1), ("a = 1\na = 2", 2), ("a = 1\n\nb = [1,\n\n", 3), ('a = 1\nb = """', 2)],
)
def test_the_line_of_a_mistake_is_where_the_reader_found_it(text: str, line: int) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    assert error_line(str(caught.value), text) == line


def test_a_mistake_at_the_end_of_the_text_is_on_its_last_line_with_anything_on_it() -> None:
    assert error_line("Expected ']' (at end of document)", "a\nb\n\n\n") == 2
    assert error_line("Unclosed (at line 3, column 14)", "a\nb\n\n\n") == 3
