"""What producers may do to the input besides its values: transactions, and every codec."""

import pytest
from confluent_kafka import Producer

from tests import truth
from tests.integration.conftest import MakeFleet
from tests.support.broker.records import (
    DEADLINE_S,
    SMALL,
    T0,
    Row,
    assert_revisions_rise_by_one,
    event,
    json_values,
    module_on,
)

pytestmark = pytest.mark.broker
SIZES = ["1s", "2s", "10s"]
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def test_aborted_transactions_are_not_counted(make_fleet: MakeFleet) -> None:
    """Two transactional producers and a plain one, interleaved on the same partitions; half of all transactions abort."""
    fleet = make_fleet(SMALL, windows__corrections="1h")
    worker = fleet.start()
    modules = [module_on(partition, 4) for partition in range(4)]
    writers = [
        Producer({"bootstrap.servers": fleet.servers, "transactional.id": f"{fleet.name}-{n}", "linger.ms": 0})
        for n in range(2)
    ]
    for writer in writers:
        writer.init_transactions()
    committed: list[bytes] = []
    number = 0

    def rows(count: int) -> list[Row]:
        nonlocal number
        number += count
        return [
            Row(m.encode(), event(m, T0 + n, n % 40 + 1, event_id=f"e{n}"))
            for n in range(number - count, number)
            for m in modules
        ]

    for turn in range(6):
        sent: list[list[Row]] = []
        for writer in writers:
            writer.begin_transaction()
            sent.append(rows(20))
            fleet.write(writer, sent[-1])
        plain = rows(5)
        fleet.publish(plain)
        kept = [plain]
        for which, writer in enumerate(writers):
            if (turn + which) % 2:
                writer.abort_transaction(DEADLINE_S)
            else:
                writer.commit_transaction(DEADLINE_S)
                kept.append(sent[which])
        committed += [one.value for part in kept for one in part if one.value is not None]
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    assert worker.complaints() == []

    live = fleet.metrics()
    assert truth.compare([truth.event_of(e) for e in json_values(committed)], live, SIZES).mismatches == []
    assert_revisions_rise_by_one(live)
    ledger = fleet.ledgers()["input"]
    assert ledger["consumed"] == ledger["applied"] == len(committed)


def test_every_codec_is_read(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL, windows__corrections="1h")
    worker = fleet.start()
    modules = {codec: f"sent-with-{codec}" for codec in CODECS}
    events: list[bytes] = []
    for turn in range(2):
        for codec, module in modules.items():
            mine = [event(module, T0 + turn * 300 + n, n + 0.5, note="x" * 200) for n in range(300)]
            fleet.publish([Row(module.encode(), value) for value in mine], **{"compression.type": codec})
            events += mine
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    assert worker.complaints() == []

    live = fleet.metrics()
    assert truth.compare([truth.event_of(e) for e in json_values(events)], live, SIZES).mismatches == []
    ledger = fleet.ledgers()["input"]
    assert ledger["consumed"] == ledger["applied"] == len(events) == 3_000
