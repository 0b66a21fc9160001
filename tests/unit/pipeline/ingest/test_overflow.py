"""An event of a module over the limit costs little more than its second way, and says what it said when it went alone."""

import pytest

from bench.overflow import measure
from pipeline.config import CoreConfig, Limits
from pipeline.native import Native
from tests.support.cores import NOW_MS, START_MS, Event, Run, batch_of

pytestmark = pytest.mark.usefixtures("native")
FULL = CoreConfig(limits=Limits(max_modules=1))


def test_no_event_over_the_limit_is_read_one_by_one_on_either_hop(native: Native) -> None:
    sender, owner = Run(FULL, partition=0, partitions=2), Run(FULL, partition=1, partitions=2)
    for run in (sender, owner):
        run.apply([Event("m", START_MS)])
        run.apply([Event(f"n{number}", START_MS) for number in range(50)])
        run.cut()
    hop = [(one.value, one.module_id.encode()) for one in sender.forwarded]
    values, keys = [value for value, _ in hop], [key for _, key in hop]
    owner.core.apply(batch_of(values, keys, topic="repartition", forwarded=True), NOW_MS)
    assert (sender.core.one_by_one, owner.core.one_by_one) == (1, 1), "the first event of all brings a module"
    assert (sender.ledger.applied, sender.ledger.forwarded) == (1, 50)
    assert (owner.ledger.applied, owner.ledger.forwarded) == (101, 0)
    assert (sender.core.modules.overflowed, owner.core.modules.overflowed) == (0, 100)
    assert (sender.core.modules.newest_overflow, owner.core.modules.newest_overflow) == ("n49", "n49")


def test_the_owner_of_other_counts_its_own_events_in_place() -> None:
    for native in (True, False):
        config = CoreConfig(limits=Limits(max_modules=1), native=native)
        run = Run(config, partition=1, partitions=2)
        run.apply([Event(name, START_MS, event_id="1") for name in ("m", "x", "y", "x")])
        run.apply([Event(name, START_MS, event_id="1") for name in ("m", "x", "z")])
        assert (run.ledger.applied, run.ledger.duplicate, run.ledger.forwarded) == (4, 3, 0)


def test_an_id_that_may_not_be_one_is_refused_though_the_registry_is_full() -> None:
    run = Run(FULL, partition=0, partitions=2)
    run.apply([Event("m", START_MS)])
    values = [b'{"module_id":"%b","timestamp":%d,"success":true,"response_time_ms":1}' % (name.encode(), START_MS)
              for name in ("ok", "a\u202eb", "fine", " ", "\u200d.")]  # fmt: skip
    run.core.apply(batch_of(values, [b"ok", "a\u202eb".encode(), b"fine", b" ", "\u200d.".encode()], first=1), NOW_MS)
    run.cut()
    assert [one.value for one in run.forwarded] == [values[0], values[2], values[4]]
    assert [one.offset for one in run.rejected] == [2, 4]
    assert run.core.modules.newest_overflow == "\u200d."


def test_both_hops_together_cost_a_few_ordinary_events() -> None:
    """It is 1.8 to 2.3 times; read and forwarded one by one it was 16 times. CPU time, the best of the rounds."""
    assert measure(events=40_000, modules=2_500, rounds=3).ratio < 5
