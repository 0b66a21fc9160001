"""Placeholders in the spelling of Prometheus are refused with ours beside them."""

import pytest

from pipeline.alerts.fields import EXAMPLE_MODULE, Silent
from pipeline.alerts.template import Template


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("{{ $value }}", "write {value}"),
        ("{{$value}}", "write {value}"),
        ("{{ $value | humanizePercentage }}", "write {value}"),
        ("{{ .Value }}", "write {value}"),
        ("{{ $labels.module_id }} fails", "write {module_id}"),
        ("{{- $labels.module_id -}}", "write {module_id}"),
        ("{{ .Labels.module_id }}", "write {module_id}"),
        ("{{ $labels.instance }}", "write a field in single braces, such as {module_id} or {value}"),
        ('{{ printf "%.2f" $value }}', "write {value}"),
        ("{$value}", "write {module_id} or {value}"),
    ],
)
def test_a_placeholder_of_prometheus_is_refused_with_the_one_to_write(text: str, ours: str) -> None:
    with pytest.raises(ValueError, match="Prometheus' spelling") as caught:
        Template(text, "module", has_threshold=False)
    assert ours in str(caught.value)


@pytest.mark.parametrize("text", ["costs $5", "{{module_id}}", "a {{ and }} b", "{value} of {module_id}"])
def test_other_texts_are_let_through(text: str) -> None:
    Template(text, "module", has_threshold=False)


def test_a_silent_module_fills_in_its_name_its_window_and_since_when() -> None:
    template = Template(
        "{module_id} {silent_since} {window_start} {error_rate:.1%} {value}", "module", has_threshold=False
    )
    assert template.render(Silent("m", "1m", 60_000, 120_000, 30_000), None, None) == (
        "m 1970-01-01 00:00:30 UTC 60000 n/a n/a"
    )
    assert "n/a" in template.render(EXAMPLE_MODULE, 1.0, None)
