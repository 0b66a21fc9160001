"""Conditions that can never be true are refused, with what to write; those that can be are not."""

import pytest

from pipeline.alerts.fields import FIELDS, Scope
from pipeline.alerts.never import refuse_never_true
from pipeline.alerts.syntax import ExpressionError, tokenize


def judge(text: str, scope: Scope = "module", threshold: float | None = None) -> None:
    refuse_never_true(tokenize(text, FIELDS[scope]), FIELDS[scope], threshold)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("total_requests == 0", 'a module without a request has no record; to alert on silence say no_data = "alert"'),
        ("total_requests < 1", 'say no_data = "alert"'),
        ("1 > total_requests", 'say no_data = "alert"'),
        ("error_rate > 5", "error_rate is from 0 to 1; it is a ratio: for 5 % write 0.05"),
        ("error_rate > 50 && total_requests > 10", "for 50 % write 0.5"),
        ("total_requests > 10 || (error_rate >= 1.5)", "error_rate is from 0 to 1"),
        ("error_rate > 1", "error_rate is from 0 to 1"),
        ("success_rate < 0", "`success_rate < 0` is never true"),
        ("success_rate < -0.5", "`success_rate < -0.5` is never true"),
        ("!(error_rate <= 1)", "`error_rate <= 1` is never true"),
        ("!(!(error_rate > 2))", "never true"),
        ("health.score > 100", "health.score is from 0 to 100"),
        ("failed_requests < 0", "failed_requests is at least 0"),
        ("response_time_ms.p99 < 0", "is at least 0"),
        ("error_rate > 0.5 && error_rate < 0.2", "no error_rate fulfils all that is asked of it"),
        ("(error_rate > 0.5) && total_requests > 5 && (error_rate == 0.2)", "no error_rate fulfils"),
        ("health.reasons.exists(r, r.contains('p99')) && error_rate > 5", "for 5 % write 0.05"),
        ("false", 'leaves it out and says no_data = "alert"'),
    ],
)
def test_what_can_never_be_true_is_refused_with_the_remedy(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        judge(text)
    # A comparison is quoted as the field stands first.
    assert reason in str(caught.value) or reason.replace("`error_rate <= 1`", "`error_rate > 1`") in str(caught.value)


def test_a_threshold_is_judged_like_the_number_it_stands_for() -> None:
    with pytest.raises(ExpressionError, match=r"for 5 % write 0\.05"):
        judge("error_rate > threshold", threshold=5.0)
    judge("error_rate > threshold", threshold=0.05)


@pytest.mark.parametrize(
    "text",
    [
        "error_rate > 0.5",
        "error_rate >= 1",
        "error_rate * 100.0 > 50.0",
        "error_rate > 0.05 * 2.0",
        "failed_requests - 5.0 < 0.0",
        "total_requests <= 1",
        "total_requests != 0",
        "!(error_rate > 5)",
        "!(total_requests == 0) && error_rate > 0.5",
        "error_rate > 0.5 || error_rate < 0.2",
        "health.reasons.exists(r, r.contains('p99')) && error_rate > 0.5",
        "total_requests > 5 ? error_rate > 0.5 : false",
        "size(health.reasons) > 200",
        "cpu_percent > 300",
        "health.since == null",
    ],
)
def test_what_can_be_true_is_let_through_and_what_is_no_plain_comparison_is_not_judged(text: str) -> None:
    judge(text)


def test_a_system_window_may_be_without_a_request() -> None:
    judge("total_requests == 0", "system")
    with pytest.raises(ExpressionError, match="overall_error_rate is from 0 to 1"):
        judge("overall_error_rate > 5", "system")
