"""Bad records are what they say: the worker refuses each for the reason that is named, and nothing else."""

from itertools import islice

import orjson
import pytest

from pipeline.config import CoreConfig
from pipeline.cores.module_core import ModuleCore
from tests.support.core.cores import batch_of
from topology.traffic.bad_events import BAD_KINDS, BadKind
from topology.traffic.events import Traffic, TrafficPlan, events, module_names

START_MS = 1_780_315_200_000
KINDS = {kind.name: kind for kind in BAD_KINDS}


def good_events(gauges: float) -> list[bytes]:
    return [record.value for record in islice(events(TrafficPlan(modules=1, gauges=gauges), START_MS), 20)]


def refused(values: list[bytes]) -> list[str]:
    """The reasons of the dead letters that a core makes of them."""
    core = ModuleCore(CoreConfig())
    core.apply(batch_of(values, [module_names(1)[0].encode()] * len(values)), START_MS + 60_000)
    return [letter.reason for letter in core.cut(START_MS).outbox.rejected]


@pytest.mark.parametrize("kind", BAD_KINDS, ids=list(KINDS))
def test_the_worker_refuses_each_kind_for_the_reason_that_it_names(kind: BadKind) -> None:
    for gauges in (0.0, 1.0):
        good = good_events(gauges)
        assert refused(good) == []
        assert refused([kind.make(value) for value in good]) == [kind.reason] * len(good)


def test_none_holds_a_line_break_so_that_a_file_of_them_has_a_line_for_each() -> None:
    assert not [kind.name for kind in BAD_KINDS for value in good_events(1.0) if b"\n" in kind.make(value)]


def test_every_kind_appears_in_traffic_under_its_own_name() -> None:
    traffic: list[Traffic] = list(islice(events(TrafficPlan(bad=0.5), START_MS), 5_000))
    found = {record.kind.removeprefix("bad/") for record in traffic if record.kind.startswith("bad/")}
    assert found == KINDS.keys()
    assert len(KINDS) == len(BAD_KINDS)


def test_what_is_wrong_in_its_meaning_alone_is_still_json() -> None:
    for kind in BAD_KINDS:
        for value in good_events(1.0):
            if kind.reason == "undecodable":
                with pytest.raises(orjson.JSONDecodeError):
                    orjson.loads(kind.make(value))
            else:
                orjson.loads(kind.make(value))
