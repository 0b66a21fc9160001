"""Conditions over records: what they mean, what they may name, and that nothing in them can do harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.alerts.expression import Expression
from pipeline.alerts.fields import EXAMPLE_MODULE
from pipeline.alerts.syntax import ExpressionError
from schemas.metrics import ModuleMetrics

NO_CPU = replace(EXAMPLE_MODULE, cpu_percent=None)


def holds(text: str, record: ModuleMetrics = EXAMPLE_MODULE, threshold: float | None = None) -> bool:
    return Expression(text, "module", threshold).evaluate(record)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("error_rate > 0.01", True),
        ("error_rate > 0.01 && total_requests >= 1000", False),
        ("response_time_ms.p99 == 300", True),
        ("failed_requests / total_requests > 0.01", True),
        ("error_rate * total_requests > 11.5", True),
        ("health.status in ['degraded', 'critical']", False),
        ("module_id.startsWith('check') && !(module_id.contains('x'))", True),
        ("health.reasons.exists(r, r.contains('thresholds'))", True),
        ("size(health.reasons) == 1 // one reason", True),
        ("'p99' in health.reasons", False),
        ("total_requests > 100 ? error_rate > 0.01 : false", True),
        ("cpu_percent_avg < -1.5e3", False),
        ('window == "1m"', True),
        ("module_id == 'error_rate > \\'1\\''", False),
    ],
)
def test_a_condition_means_what_it_says(text: str, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(("threshold", "expected"), [(0.01, True), (0.02, False), (-1.0, True), (1e-7, True)])
def test_threshold_stands_for_the_rules_number(threshold: float, expected: bool) -> None:
    assert holds("error_rate > threshold", threshold=threshold) is expected


def test_reasons_show_the_threshold_as_a_number() -> None:
    assert Expression(" error_rate\n  > threshold ", "module", 0.05).text == "error_rate > 0.05"


def test_a_whole_number_in_a_fractional_field_compares_and_divides_like_any_other() -> None:
    assert holds("cpu_percent * 2.0 == 14", replace(EXAMPLE_MODULE, cpu_percent=7))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu_percent == null", True),
        ("cpu_percent != null && cpu_percent > 5", False),
        ("cpu_percent > 5 || error_rate > 0.01", True),
        ("cpu_percent > 5 && error_rate > 0.5", False),
        ("(cpu_percent) == null", True),
        ("null != ((cpu_percent))", False),
        ("cpu_percent in [5.0] || error_rate > 0.01", True),
        ("cpu_percent == null || cpu_percent in [5.0]", True),
    ],
)
def test_a_gauge_that_was_never_sent_is_null(text: str, expected: bool) -> None:
    assert holds(text, NO_CPU) is expected


@pytest.mark.parametrize(
    "text",
    [
        "cpu_percent > 5",
        "!(cpu_percent > 5)",
        "cpu_percent > 5 || error_rate > 0.5",
        "cpu_percent * 2.0 > 1",
        "cpu_percent in [5.0, 6.0]",
        "!(cpu_percent in [5.0, 6.0])",
        "(cpu_percent) in [5.0] == false",
        "!(5.0 in [cpu_percent])",
        "size([cpu_percent]) == 1",
        "[1.0, cpu_percent].exists(x, x == 1.0)",
        "(error_rate > 0.0 ? cpu_percent : 1.0) != 1.0",
        "null in [cpu_percent]",
    ],
)
def test_a_condition_that_hangs_on_a_null_is_unknown_and_says_which_field(text: str) -> None:
    with pytest.raises(ExpressionError, match="compares cpu_percent, which is null") as caught:
        holds(text, NO_CPU)
    assert caught.value.reason == "null_field"


def test_a_number_that_needs_a_null_field_is_none() -> None:
    assert Expression("cpu_percent", "module", None).number(NO_CPU) is None
    assert Expression("cpu_percent * 2.0", "module", None).number(NO_CPU) is None
    assert Expression("cpu_percent * 2.0", "module", None).number(EXAMPLE_MODULE) == 70.0


def test_a_failure_on_a_record_is_told_apart_from_a_null() -> None:
    with pytest.raises(ExpressionError, match="index out of bounds") as caught:
        holds("health.reasons[3] == 'x'")
    assert caught.value.reason == "failed"
    with pytest.raises(ExpressionError, match="is not true or false"):
        holds("error_rate")
    with pytest.raises(ExpressionError, match="is not a number"):
        Expression("error_rate > 0.5", "module", None).number(EXAMPLE_MODULE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not compile"),
        ("error_rate >", "does not compile: 1:13: Syntax error"),
        ("error_rate > 0.1 and total_requests > 1", "unknown field 'and'"),
        ("error_rat > 0.1", "did you mean error_rate"),
        ("response_time_ms > 5", "is a group of fields; write one of response_time_ms.avg"),
        ("response_time_ms.p42 > 5", "unknown field 'response_time_ms.p42'"),
        ("response_time_ms['p99'] > 5", "is a group of fields"),
        ("response_time_ms . p99 > 5", "is a group of fields"),
        ("(module_id).p99 > 5", "write the whole field path without spaces"),
        ("health__status == 'x'", "unknown field 'health__status'"),
        ("last_updated > 5", "unknown field"),
        ("revision > 1", "unknown field"),
        ("module_id.__class__ == 'x'", "unknown field"),
        ("open('/etc/passwd') == 'x'", "unknown function 'open'"),
        ("has(health.status)", "unknown function 'has'"),
        ("module_id.matches('(a+)+$')", "unknown function 'matches'"),
        ("[1].map(x, x)", "unknown function 'map'"),
        ("[1].all(x, [1].all(y, true))", "only one of exists"),
        ("[1].all(error_rate, true)", "is written like"),
        ("health.status == 'criticl'", "is never 'criticl'; it is one of critical, degraded, healthy"),
        ("'5' == error_rate", "is a number and never equals '5'"),
        ("module_id != 5", "is a text and never equals 5"),
        ("r'a' == module_id", "prefixed and triple-quoted texts"),
        ('"""a""" == module_id', "prefixed and triple-quoted texts"),
        ("error_rate > 5u", "number with a suffix"),
        ("`error_rate` > 5", "cannot be read at"),
        ("error_rate > 'a", "cannot be read at"),
        ("(" * 2000 + "true" + ")" * 2000, "does not compile"),
        ("true" + " || true" * 1000, "longer than 4096 bytes"),
        (f"[{'1.,' * 900}1.0].exists(x, x > 0.0{'+1.' * 400})", "may hold"),
    ],
)
def test_what_a_rule_may_not_say_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason.replace("(", r"\(")) as caught:
        Expression(text, "module", None)
    assert caught.value.reason == "invalid"


def test_a_comprehension_over_a_list_of_moderate_length_is_welcome() -> None:
    listed = ", ".join(f"'{name}'" for name in ("cart", "checkout", "search", "mail"))
    assert holds(f"[{listed}].exists(name, module_id.startsWith(name) && error_rate > 0.01)")


NAMES = ["error_rate", "health.status", "health.reasons", "threshold", "null", "size(", "int(", ".exists(r,", "r"]
LITERALS = ["1", "2.5", "'a'", "'\\\\'", "// c\n", "é"]
OPERATORS = ["&&", "||", "!", "(", ")", "[", "]", "?", ":", ">", "==", "in", "+", "/", "%", ",", "."]
PIECES = st.sampled_from([*NAMES, *LITERALS, *OPERATORS])


@given(st.lists(PIECES, max_size=12).map(" ".join))
def test_no_text_does_anything_but_compile_or_be_refused(text: str) -> None:
    try:
        assert isinstance(Expression(text, "module", 0.5).evaluate(EXAMPLE_MODULE), bool)
    except ExpressionError as error:
        refused = str(error)
        assert refused
