"""A registry says what the process takes where it is asked to, and nothing about when a counter was made."""

from prometheus_client import Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from topology.serve.registry import PROCESS_FAMILIES, new_registry


def names(text: str) -> set[str]:
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def test_a_counter_has_one_series() -> None:
    registry = new_registry()
    Counter("records", "Records.", registry=registry).inc()
    assert names(generate_latest(registry).decode()) == {"records_total"}


def test_the_process_is_told_of_only_where_it_is_asked_for() -> None:
    assert names(generate_latest(new_registry(process=True)).decode()) == set(PROCESS_FAMILIES)
    assert names(generate_latest(new_registry()).decode()) == set()
