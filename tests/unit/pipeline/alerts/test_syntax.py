"""The tokens of an expression: nothing of the text is lost, each name is told what it is, and the cost is bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alerts.fields import FIELDS
from pipeline.alerts.syntax import MAX_EXPRESSION_BYTES, MAX_STEPS, ExpressionError, conditions, tokenize, unknown_field
from tests.support.core.cores import fixed

MODULE = FIELDS["module"]


def kinds(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokenize(text, MODULE) if token.kind != "space"]


def parts(text: str) -> list[str]:
    return ["".join(token.text for token in part) for part in conditions(tokenize(text, MODULE))]


def test_a_condition_is_split_where_the_left_side_could_hide_the_right() -> None:
    tokens = tokenize("!(error_rate > 1 || (cpu_percent > 2)) && size([1 > 2 || true]) > 0", FIELDS["module"])
    parts = ["".join(token.text for token in part) for part in conditions(tokens)]
    assert parts == ["error_rate>1", "cpu_percent>2", "size([1>2||true])>0"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", ["true"]),
        ("!error_rate", ["!error_rate"]),
        ("!!(error_rate > 1)", ["error_rate>1"]),
        ("((true || false))", ["true", "false"]),
        ("(true) && (false)", ["true", "false"]),
        ("true && false ? 1 : 2", ["true&&false?1:2"]),
        ("(true && false ? 1 : 2) || null", ["true&&false?1:2", "null"]),
        ("module_id == '(' && true", ["module_id=='('", "true"]),
        ("[true && false] == []", ["[true&&false]==[]"]),
        ("!(true && false) == true", ["!(true&&false)==true"]),
    ],
)
def test_parts_are_what_can_be_true_or_false_by_itself(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


def test_each_name_is_a_field_a_function_a_word_of_the_language_or_a_name_bound_here() -> None:
    assert kinds("size(health.reasons) > threshold && module_id.contains('x') == true") == [
        ("function", "size"), ("op", "("), ("field", "health.reasons"), ("op", ")"), ("op", ">"),
        ("threshold", "threshold"), ("op", "&&"), ("field", "module_id"), ("op", "."), ("function", "contains"),
        ("op", "("), ("string", "'x'"), ("op", ")"), ("op", "=="), ("keyword", "true"),
    ]  # fmt: skip
    bound = [text for kind, text in kinds("health.reasons.exists( r , r.contains('a') || r == 'b')") if kind == "bound"]
    assert bound == ["r"] * 3


def test_a_comment_is_space_and_a_text_that_looks_like_one_is_a_text() -> None:
    assert kinds("1 // error > 'x\n + 2") == [("number", "1"), ("op", "+"), ("number", "2")]
    assert kinds("'// no' == module_id")[0] == ("string", "'// no'")
    assert kinds(r"'it\'s' + ''")[0] == ("string", r"'it\'s'")


@pytest.mark.parametrize("name", ["error_rate", "threshold", "true", "a__b", "a.b", "1"])
def test_a_bound_name_hides_nothing_that_has_a_meaning(name: str) -> None:
    with pytest.raises(ExpressionError, match=r"exists is written like health\.reasons\.exists\(r, "):
        tokenize(f"health.reasons.exists({name}, true)", MODULE)


def test_an_expression_may_be_as_long_as_the_limit_counted_in_bytes() -> None:
    room = MAX_EXPRESSION_BYTES - len("module_id == ''")
    assert tokenize(f"module_id == '{'é' * (room // 2)}'", MODULE)
    with pytest.raises(ExpressionError, match=f"longer than {MAX_EXPRESSION_BYTES} bytes"):
        tokenize(f"module_id == '{'é' * (room // 2 + 1)}'", MODULE)


def test_a_comprehension_may_take_as_many_steps_as_the_limit_and_other_expressions_any_number() -> None:
    def comprehension(elements: int, filling: int) -> str:
        return f"[{','.join('1' * elements)}].exists(x, x > 0{'+1' * filling})"

    # Eleven words and signs besides these; the comma of the call counts like those of the list.
    elements, filling = 40, 15
    words = 2 * elements - 1 + 11 + 2 * filling
    assert len(kinds(comprehension(elements, filling))) == words
    assert words * (elements + 1) <= MAX_STEPS < (words + 2) * (elements + 1)
    with pytest.raises(ExpressionError, match=f"{words + 2} words and signs times {elements + 1} elements"):
        tokenize(comprehension(elements, filling + 1), MODULE)
    assert tokenize("[" + "1," * 1_000 + "1] == []", MODULE)


def test_an_unknown_name_is_told_its_neighbours_or_its_members() -> None:
    assert unknown_field("error_rat", MODULE) == "unknown field 'error_rat'; did you mean error_rate?"
    assert unknown_field("zzz", MODULE) == "unknown field 'zzz'"
    assert unknown_field("health", MODULE).startswith("'health' is a group of fields; write one of health.status, ")


PIECES = st.sampled_from(
    ["error_rate", "health.status", "threshold", "size(", "int(", "null", "1", "2.5e-3", "'a\\''", '"b"', "// c\n", " ", "\t",
     "&&", "||", "!", "(", ")", "[", "]", "<=", "==", "+", "-", ",", "?", ":"]
)  # fmt: skip


@fixed(300)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_the_tokens_together_are_the_text_and_the_parts_hold_each_of_its_words_in_order(text: str) -> None:
    try:
        tokens = tokenize(text, MODULE)
    except ExpressionError:
        return
    assert "".join(token.text for token in tokens) == text
    glue = {"&&", "||", "!", "(", ")"}
    words = [token.text for token in tokens if token.kind != "space" and token.text not in glue]
    assert [token.text for part in conditions(tokens) for token in part if token.text not in glue] == words
