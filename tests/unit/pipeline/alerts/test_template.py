"""Annotation texts: which placeholders they may hold, and what is put in their place."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.alerts.fields import EXAMPLE_MODULE, EXAMPLES, FIELDS, Scope
from pipeline.alerts.template import MAX_TEMPLATE_CHARS, MAX_TEXT_CHARS, Template
from tests.support.core.cores import fixed


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{error_rate.__class__}", "unknown field"),
        ("{module_id.__init__.__globals__}", "unknown field"),
        ("{response_time_ms}", "is a group of fields"),
        ("{0}", "unknown field"),
        ("{}", "unknown field"),
        ("{health[status]}", "unknown field"),
        ("{error_rate!r}", "conversions are not allowed"),
        ("{error_rate:999999999f}", "is not allowed"),
        ("{error_rate:.999999999f}", "is not allowed"),
        ("{error_rate:{value}}", "is not allowed"),
        ("{error_rate:x}", "is not allowed"),
        ("{module_id:>90}", "it is not a number"),
        ("{sketch}", "unknown field"),
        ("{error_rate", "expected '}'"),
        ("x" * 5000, "longer than 4096"),
    ],
)
def test_a_placeholder_can_only_name_a_field_and_a_short_format(template: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Template(template, "module", has_threshold=True)


def test_placeholders_are_filled_in() -> None:
    template = Template(
        "{{{module_id}}} {error_rate:.1%} {response_time_ms.p99} {total_requests:,} {total_requests:.1f} {memory_bytes} "
        "{value:.2f} {threshold} {health.reasons}",
        "module",
        has_threshold=True,
    )
    assert template.render(EXAMPLES["module"], 1.0, None) == (
        "{checkout} 2.0% 300 600 600.0 536870912 1.00 n/a all signals within their thresholds"
    )


def test_an_annotation_is_cut_however_often_it_repeats_a_long_field() -> None:
    assert len(
        Template("{health.reasons}" * 250, "module", has_threshold=False).render(EXAMPLES["module"], None, None)
    ) == (MAX_TEXT_CHARS)


def shown(text: str, value: float | None = None, threshold: float | None = None) -> str:
    return Template(text, "module", has_threshold=True).render(EXAMPLE_MODULE, value, threshold)


def test_a_field_without_a_value_is_not_available_whatever_its_format() -> None:
    empty = replace(EXAMPLE_MODULE, cpu_percent=None)
    assert Template("{cpu_percent:.1f}|{value:,}", "module", has_threshold=False).render(empty, None, None) == "n/a|n/a"


def test_a_number_without_a_format_is_short_and_a_whole_one_is_whole() -> None:
    assert shown("{error_rate} {value} {threshold}", 1 / 3, 2e-7) == "0.02 0.333333 2e-07"
    assert shown("{memory_bytes} {memory_bytes:.3g} {memory_bytes:,}") == "536870912 5.37e+08 536,870,912"


def test_a_text_that_a_module_brings_is_never_read_as_a_placeholder() -> None:
    sly = replace(EXAMPLE_MODULE, module_id="{error_rate}{")
    assert Template("{module_id}", "module", has_threshold=False).render(sly, None, None) == "{error_rate}{"


def test_the_threshold_can_be_shown_only_where_the_rule_has_one() -> None:
    with pytest.raises(ValueError, match=r"placeholder \{threshold\}, but the rule has no threshold"):
        Template("{threshold}", "module", has_threshold=False)
    assert shown("{threshold}", threshold=0.5) == "0.5"


def test_a_template_may_be_as_long_as_the_limit_and_no_longer() -> None:
    assert shown("x" * MAX_TEMPLATE_CHARS) == "x" * MAX_TEMPLATE_CHARS
    with pytest.raises(ValueError, match=f"longer than {MAX_TEMPLATE_CHARS} characters"):
        Template("x" * (MAX_TEMPLATE_CHARS + 1), "module", has_threshold=False)


NUMBERS = st.one_of(st.none(), st.integers(0, 2**63 - 1), st.floats())


@fixed(60)
@given(
    st.sampled_from(get_args(Scope)),
    st.text("0123456789,.fge%xs+<", max_size=6),
    st.one_of(st.none(), st.floats()),
    NUMBERS,
)
def test_a_format_that_is_taken_never_fails_and_never_pads_far(
    scope: Scope, spec: str, value: float | None, count: float | None
) -> None:
    numbers = [path for path, field in FIELDS[scope].items() if field.kind == "number"]
    text = "".join(f"{{{path}:{spec}}}" for path in [*numbers, "value", "threshold"])
    try:
        template = Template(text, scope, has_threshold=True)
    except ValueError:
        return
    changed = {name: count for name in ("cpu_percent", "total_memory_bytes", "total_requests") if name in numbers}
    assert template.render(replace(EXAMPLES[scope], **changed), value, value)
    assert len(Template(f"{{value:{spec}}}", scope, has_threshold=True).render(EXAMPLES[scope], 1.5, None)) < 120
