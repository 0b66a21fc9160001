"""Which columns fit, and how a name is cut."""

import pytest

from topology.monitor.layout import columns_for, first_and_more, shortened


@pytest.mark.parametrize("width", range(80, 240, 7))
@pytest.mark.parametrize("length", [1, 20, 60, 200])
def test_all_columns_together_fit_the_terminal_and_numbers_keep_their_width(width: int, length: int) -> None:
    columns = columns_for(width, ["x" * length])
    assert sum(column.width for column in columns) + 2 * (len(columns) - 1) <= width
    assert [column.name for column in columns][:3] == ["module", "req/s", "error %"]
    assert all(column.width >= 6 for column in columns[:-1])


def test_a_wider_terminal_has_more_columns() -> None:
    names = [[column.name for column in columns_for(width, ["m"])] for width in (80, 100, 132)]
    assert "p50 ms" not in names[0]
    assert "p50 ms" in names[1]
    assert "since" in names[2]


def test_a_name_keeps_both_ends() -> None:
    assert shortened("eu-west-1.payments.fraud", 9) == "eu-w\u2026raud"
    assert shortened("short", 9) == "short"
    assert [len(shortened("a-long-name", width)) for width in range(1, 12)] == list(range(1, 12))


def test_names_that_do_not_fit_are_counted() -> None:
    names = ["ErrorBurst", "HighErrorRate", "ModuleCritical"]
    assert first_and_more(names, 60) == "ErrorBurst, HighErrorRate, ModuleCritical"
    assert first_and_more(names, 26) == "ErrorBurst +2"
    assert first_and_more(names, 28) == "ErrorBurst, HighErrorRate +1"
    assert first_and_more(names, 8) == "Er\u2026st +2"
    assert first_and_more([], 8) == ""
