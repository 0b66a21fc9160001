"""The short form of the fault suite: 30 s of load, 5 kills, nothing lost, doubled or wrong, and the planted bugs seen."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.__main__ import SEED, run_short
from tests.faults.broker import Brokers
from tests.faults.report import plain, words
from tests.faults.rows import clock_rows, forwarding_rows, input_rows, worker_rows
from tests.faults.rows_of_broker import broker_rows
from tests.faults.rows_of_mutants import mutant_rows
from tests.faults.run import Run
from topology.devbroker import Broker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]


def test_a_seed_repeats_its_plan() -> None:
    makers = (worker_rows, input_rows, forwarding_rows, broker_rows)
    plans = [[row for make in makers for row in make(seed)] + clock_rows() for seed in (1, 1, 2)]

    assert plans[0] == plans[1]
    assert plans[0] != plans[2]


def test_nothing_is_lost_doubled_or_wrong_when_workers_are_killed(broker: Broker, tmp_path: Path) -> None:
    address = broker.bootstrap_servers
    reports = run_short(Brokers(address, address), SEED, tmp_path)

    said = "\n".join([plain(reports), *(line for report in reports for line in words(report))])
    product, *mutants = reports
    assert product.clean, said
    assert product.events >= 20_000, said
    assert product.kills == 5, said
    assert len(mutants) >= 4, said
    assert all(mutant.as_wanted for mutant in mutants), said


def test_a_bug_that_cannot_be_planted_is_not_caught_but_void(broker: Broker, tmp_path: Path) -> None:
    """Its worker dies at once; that is red for everybody, and says nothing about what the suite can see."""
    address = broker.bootstrap_servers
    rotten = replace(mutant_rows()[0], name="rotten", mutant="a bug nobody made", steps=())
    report = Run(rotten, Brokers(address, address), SEED, tmp_path)()

    assert report.verdict == "void", words(report)
    assert not report.as_wanted
    assert "no worker said that the bug was planted" in (report.void or "")
    assert "a bug nobody made" in (report.void or ""), "the worker's last words"
