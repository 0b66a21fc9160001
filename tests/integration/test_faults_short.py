"""The short form of the fault suite: 30 s of load, 5 kills, nothing lost, doubled or wrong, and the planted bugs seen."""

from pathlib import Path

import pytest

from tests.faults.__main__ import SEED, run_short
from tests.faults.broker import Brokers
from tests.faults.report import plain, words
from tests.faults.rows import broker_rows, input_rows, worker_rows
from topology.devbroker import Broker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]


def test_a_seed_repeats_its_plan() -> None:
    plans = [[*worker_rows(seed), *input_rows(seed), *broker_rows(seed)] for seed in (1, 1, 2)]

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
    assert len(mutants) >= 2, said
    assert all(mutant.as_wanted for mutant in mutants), said
