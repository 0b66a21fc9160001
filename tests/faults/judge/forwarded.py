"""The truth of a run in which events are forwarded: what must stand in the repartition topic, and what follows from it.

Where every event is forwarded, a task takes its events in the order of its repartition partition, and the truth of that topic is
exact. Where only some are, a task takes two topics in an order that nobody wrote down; then no event may come near the limit of
lateness, and only what does not depend on the order is known: every count, every figure of every newest record, the ledgers.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import numpy as np
import orjson

from tests.faults.judge.oracle import AlertRule, Truth, Windows, by_partition, columns, figures, first_of_each, truth
from tests.faults.judge.reader import Record

Forwarding = Literal["none", "some", "all"]


def truth_of_all_forwarded(
    sent: list[Record],
    carried: list[Record],
    windows: Windows,
    rules: Iterable[AlertRule],
    *,
    topics: tuple[str, str],
    closed: bool,
) -> Truth:
    """What must come out when every event is forwarded.

    Args:
        sent: the whole input topic; only good events.
        carried: the whole repartition topic.
        windows: as the worker was configured.
        rules: as the worker was configured.
        topics: the names of both.
        closed: see `truth`.
    """
    source, repartition = topics
    result = truth(carried, windows, rules, {}, topic=repartition, closed=closed)
    for partition, records in by_partition(sent).items():
        result.ledgers[source, partition] = [len(records), 0, 0, 0, 0, 0, len(records)]
    result.forwarded = Counter(record.value for record in sent)
    result.events = len(sent)
    return result


def truth_of_some_forwarded(
    sent: list[Record], carried: list[Record], windows: Windows, *, topics: tuple[str, str]
) -> Truth:
    """What must come out when events without their module as key are forwarded, as far as it does not depend on the order."""
    source, repartition = topics
    result = Truth(ordered=False, events=len(sent))
    own = [record for record in sent if record.key == _module_of(record)]
    strays = [record for record in sent if record.key != _module_of(record)]
    result.forwarded = Counter(record.value for record in strays)
    names: dict[str, int] = {}
    identities: dict[tuple[str, str], int] = {}
    forwarded = {partition: len(records) for partition, records in by_partition(strays).items()}
    parts = {source: by_partition(own), repartition: by_partition(carried)}
    for partition in sorted({*forwarded, *parts[source], *parts[repartition]}):
        here: list[Record] = []
        for topic, records in parts.items():
            found = records.get(partition, [])
            events = columns(found, names, identities, {}, windows.future)
            applied = int(np.count_nonzero(first_of_each(events, np.ones(len(found), np.bool_))))
            sent_on = forwarded.get(partition, 0) if topic == source else 0
            result.ledgers[topic, partition] = [
                *(len(found) + sent_on, applied, 0, len(found) - applied, 0, 0, sent_on)
            ]
            result.duplicates += len(found) - applied
            here += found
        events = columns(here, names, identities, {}, windows.future)
        accepted = first_of_each(events, np.ones(len(here), np.bool_))
        for name, size in windows.sizes.items():
            result.last.update(figures(events, accepted, name, size, list(names)))
    return result


def _module_of(record: Record) -> bytes:
    module: str = orjson.loads(record.value)["module_id"]
    return module.encode()
