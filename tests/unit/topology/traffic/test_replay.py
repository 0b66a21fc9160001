"""Replay: the same cuts however the lines come in batches, and everything closed by a drain."""

import json
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alerts.rules import load_rules
from pipeline.config import CoreConfig, WindowConfig
from pipeline.ingest.packed import each_forwarded
from pipeline.outputs import Emitted, Partial, Rejected, total_ledger
from schemas.state import Ledger
from tests.support.records.poison import POISON
from tests.truth import partition_of as true_partition_of
from topology.traffic.events import ErrorBurst, TrafficPlan, events
from topology.traffic.replay import Step, replay

START_MS = 1_700_000_000_000
NOW_MS = START_MS + 3_600_000
WINDOWS = WindowConfig(sizes=(("5s", 5_000), ("15s", 15_000), ("20s", 20_000)), grace_ms=2_000, corrections_ms=6_000)
CONFIG = CoreConfig(windows=WINDOWS)
RULES = load_rules(
    '[[rule]]\nname = "Errors"\nwindow = "5s"\nexpression = "error_rate > threshold"\nthreshold = 0.5\n', "test", ["5s"]
)


def lines(count: int, seed: int = 1, disorder_ms: int = 0) -> list[bytes]:
    burst = ErrorBurst(5, 10, 0.5, 0.9)
    plan = TrafficPlan(10, 5, seed, error_burst=burst, disorder_ms=disorder_ms, duplicates=0.05, bad=0.05, gauges=0.3)
    return [record.value for record in islice(events(plan, START_MS), count)]


def run(source: list[bytes], partitions: int = 3, *, drain: bool = False, batch: int = 4_096) -> list[Step]:
    steps = replay(
        source, CONFIG, RULES, partitions=partitions, now_ms=NOW_MS, drain=drain, batch_records=batch, cut_records=40
    )
    return list(steps)


def ledger_of(steps: list[Step]) -> Ledger:
    newest = {step.partition: total_ledger(step.cut.position.ledger) for step in steps}
    assert all(ledger.balanced for ledger in newest.values())
    return total_ledger({str(partition): ledger for partition, ledger in newest.items()})


def by_key(step: Step) -> list[Emitted]:
    """What was published, the records of each key in their order."""
    return sorted(step.cut.outbox.emitted, key=lambda emitted: (emitted.role, emitted.key))


def partials(step: Step) -> list[Partial]:
    """What the system's windows are made of; which cut says that a module is here is not promised."""
    return [partial for partial in step.cut.partials if not partial.key.startswith(b"seen|")]


def letters(step: Step, *, late: bool) -> list[Rejected]:
    """What goes to the late topic, or to the dead letters, in its order."""
    return [record for record in step.cut.outbox.rejected if (record.reason == "late") == late]


@settings(deadline=None, max_examples=25)
@given(
    count=st.integers(0, 400),
    seed=st.integers(0, 1_000),
    disorder_ms=st.sampled_from([0, 3_000, 30_000]),
    partitions=st.integers(1, 4),
    batch=st.integers(1, 60),
    drain=st.booleans(),
)
def test_the_size_of_batches_never_changes_what_comes_out(
    count: int, seed: int, disorder_ms: int, partitions: int, batch: int, drain: bool
) -> None:
    source = lines(count, seed, disorder_ms)
    whole = run(source, partitions, drain=drain)
    parts = run(source, partitions, drain=drain, batch=batch)
    assert [step.partition for step in parts] == [step.partition for step in whole]
    for part, other in zip(parts, whole, strict=True):
        assert by_key(part) == by_key(other)
        assert each_forwarded(part.cut.outbox) == each_forwarded(other.cut.outbox)
        assert letters(part, late=True) == letters(other, late=True)
        assert letters(part, late=False) == letters(other, late=False)
        assert partials(part) == partials(other)
        assert part.cut.position == other.cut.position
        assert sorted(part.cut.state) == sorted(other.cut.state)


def test_a_drain_makes_the_last_record_of_every_window_final_and_resolves_every_alert() -> None:
    source = lines(300)
    last: dict[tuple[str, str, int], str] = {}
    alerts: dict[str, str] = {}
    for step in run(source, drain=True):
        for emitted in step.cut.outbox.emitted:
            record = json.loads(emitted.value)
            if emitted.role == "module_metrics":
                last[record["module_id"], record["window"], record["window_start"]] = record["status"]
                assert record["last_updated"] == NOW_MS
            elif emitted.role == "module_alerts":
                alerts[record["fingerprint"]] = record["status"]
    assert set(last.values()) == {"final"}
    assert set(alerts.values()) == {"resolved"}
    opened = {
        emitted.key
        for step in run(source)
        for emitted in step.cut.outbox.emitted
        if json.loads(emitted.value).get("status") == "provisional"
    }
    assert opened
    assert opened <= {b"%s|%s|%d" % (m.encode(), w.encode(), s) for m, w, s in last}


def test_a_drain_also_closes_windows_that_end_after_the_clock() -> None:
    steps = list(replay(lines(50), CONFIG, partitions=1, now_ms=START_MS, drain=True))
    final = [json.loads(e.value) for e in steps[-1].cut.outbox.emitted if e.role == "module_metrics"]
    assert final
    assert {record["status"] for record in final} == {"final"}


def test_every_record_is_in_the_ledger_and_every_bad_one_is_rejected_untouched() -> None:
    bad = [kind.value for kind in POISON if kind.value and not kind.value.isspace() and not kind.headers]
    steps = run([*lines(200), *bad])
    ledger = ledger_of(steps)
    rejected = [record.value for step in steps for record in step.cut.outbox.rejected]
    assert ledger.consumed == 200 + len(bad)
    assert ledger.late == 0
    assert set(bad) <= set(rejected)
    assert len(rejected) == ledger.invalid + ledger.future


@pytest.mark.parametrize("ending", [b"}", b',"x":"\\ud83d"}', b',"goroutines":1.0}'])
def test_an_event_in_a_frame_or_in_an_odd_notation_has_the_key_of_its_module(ending: bytes) -> None:
    event = b'{"module_id":"checkout","timestamp":%d,"success":true,"response_time_ms":1' % START_MS
    framed = b"\x00\x00\x00\x00\x07" + event + ending
    steps = run([framed], 4)
    ledger = ledger_of(steps)
    assert (ledger.consumed, ledger.forwarded, ledger.applied) == (1, 0, 1)
    home = true_partition_of("checkout", 4)
    assert {step.partition for step in steps if step.cut.outbox.emitted} == {home}
