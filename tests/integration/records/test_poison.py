"""One bad record of every known kind among good ones: nothing stops, nothing is lost, nothing is changed."""

from collections import defaultdict

import pytest

from tests.integration.conftest import MakeFleet
from tests.support.broker.records import T0, Row, finals, newest, row
from tests.support.poison import good_oddities, poison_kinds

pytestmark = pytest.mark.broker
AT_MS = T0 + 12_000
MODULES = [f"shop-{number}" for number in range(20)]
GOOD_PER_BAD = 99
HEADERS = ("reason", "message", "topic", "partition", "offset", "timestamp")


def test_every_bad_record_is_set_aside_and_every_good_one_is_counted(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    worker = fleet.start().wait_until_ready()
    bad = poison_kinds(AT_MS)
    odd = good_oddities(AT_MS)
    rows: list[Row] = []
    good = 0
    where: dict[int, int] = {}  # row -> bad kind
    for number, kind in enumerate(bad):
        rows += [row(MODULES[n % 20], AT_MS + n % 5_000, n % 50 + 1) for n in range(good, good + GOOD_PER_BAD)]
        good += GOOD_PER_BAD
        where[len(rows)] = number
        rows.append(Row(kind.key, kind.value, kind.headers, partition=number % 4))
        if number < len(odd):
            one = odd[number]
            rows.append(
                Row(one.key, one.value, one.headers, partition=None if one.key in own_key(one.module_id) else 2)
            )
    assert len(odd) <= len(bad)
    places = fleet.publish(rows)
    fleet.wait_until_processed()

    assert worker.alive
    assert worker.complaints() == []
    assert worker.events("assigned")[-1:] == worker.events("assigned"), "it was started or rebalanced more than once"
    rejected = worker.metric("modpulse_rejected_records_total")
    assert rejected == len(bad)
    assert worker.terminate() == 0

    # The bad ones: each once, byte for byte, where it came from and why.
    letters = {
        (int(letter.header("modpulse.errors.partition")), int(letter.header("modpulse.errors.offset"))): letter
        for letter in fleet.read(fleet.settings.topics.dlq)
    }
    assert len(letters) == len(bad)
    wrong: list[str] = []
    for at, number in where.items():
        kind = bad[number]
        letter = letters[places[at].partition, places[at].offset]
        if (letter.key, letter.value) != (kind.key, kind.value):
            wrong.append(f"{kind.name}: not byte for byte")
        if letter.header("modpulse.errors.reason") != kind.reason:
            wrong.append(f"{kind.name}: {letter.header('modpulse.errors.reason')}, not {kind.reason}")
        if letter.headers[: len(kind.headers)] != tuple(kind.headers):
            wrong.append(f"{kind.name}: its own headers became {letter.headers[: len(kind.headers)]}")
        if [name for name, _ in letter.headers[len(kind.headers) :]] != [f"modpulse.errors.{name}" for name in HEADERS]:
            wrong.append(f"{kind.name}: headers {letter.headers}")
        assert letter.header("modpulse.errors.topic") == fleet.input
    assert wrong == []
    assert fleet.read(fleet.settings.topics.late) == []

    # The good ones, by the day's window, which holds them all.
    live = fleet.metrics()
    counted = {key[0]: record for key, record in newest(live).items() if key[1] == "1d"}
    expected: dict[str, list[float]] = defaultdict(list)
    for n in range(good):
        expected[MODULES[n % 20]].append(n % 50 + 1)
    for one in odd:
        expected[one.module_id].append(one.response_time_ms)
    assert counted.keys() == expected.keys()
    for module, values in expected.items():
        said = counted[module]
        assert (said["total_requests"], said["failed_requests"]) == (len(values), 0), module
        assert (said["response_time_ms"]["min"], said["response_time_ms"]["max"]) == (min(values), max(values)), module
    ledger = fleet.ledgers()
    foreign = sum(one.key not in own_key(one.module_id) for one in odd)
    assert ledger["input"]["consumed"] == len(rows)
    assert ledger["input"]["forwarded"] == ledger["repartition"]["applied"] == foreign
    assert ledger["input"]["applied"] == good + len(odd) - foreign
    assert ledger["input"]["invalid"] + ledger["input"]["future"] == len(bad)
    assert ledger["input"]["future"] == sum(kind.reason == "future_timestamp" for kind in bad)
    assert finals(live) == {}


def own_key(module_id: str) -> tuple[bytes]:
    return (module_id.encode(),)
