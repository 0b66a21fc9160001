"""The state that the last build of version 1 left: today's cores read it, go on from it, and lose nothing."""

import base64
import importlib.util
import json
from dataclasses import replace
from types import ModuleType
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from pipeline.alerts.rules import load_rules
from pipeline.config import Limits
from pipeline.cores.module_core import ModuleCore
from pipeline.cores.rekey import align, rekey
from pipeline.cores.task_core import TaskCore
from pipeline.ingest.batch import NoHeaders, RecordBatch
from pipeline.outputs import Cut, Emitted
from pipeline.system.core import SystemCore
from schemas.state import POSITION_KEY, Ledger, pack_position, unpack_position
from tests.support.paths import DATA

GOLDEN = DATA / "state-v1"
# What version 1 never collected: null in a window that it began, never a guess.
NOT_COLLECTED = (
    "memory_bytes_avg", "memory_bytes_max", "goroutines_avg", "goroutines_max", "db_connections_avg", "db_connections_max",
    "cpu_percent_max",
)  # fmt: skip
# Clocks, and how many provisional records of a larger window went out before: a restart begins their pace anew.
FREE = ("last_updated", "updated_at", "revision")


def made() -> ModuleType:
    """`make.py`, which holds the stream."""
    spec = importlib.util.spec_from_file_location("state_v1_make", GOLDEN / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.path", [])
        spec.loader.exec_module(module)
    return module


MAKE = made()
RULES = load_rules(MAKE.RULES, "rules.toml", [name for name, _ in MAKE.SIZES])


def golden(name: str) -> dict[bytes, bytes]:
    """The changelog of a task."""
    state = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    return {key.encode(): base64.b64decode(value) for key, value in state.items()}


class Tasks:
    """Both partitions and the system task, with what they said since the golden state."""

    def __init__(self) -> None:
        self.cores = [ModuleCore(MAKE.CONFIG, RULES, partition=p, partitions=2) for p in (0, 1)]
        self.system = SystemCore(replace(MAKE.CONFIG, limits=Limits()), RULES)
        self.offsets: dict[tuple[int, str], int] = {}
        self.partials = 0
        self.number = 0
        self.logs: list[dict[bytes, bytes]] = [{}, {}, {}]
        self.emitted: list[Emitted] = []

    @property
    def tasks(self) -> list[TaskCore]:
        """Both partitions and the system task."""
        return [*self.cores, self.system]

    def play(self, steps: list[list[Any]]) -> "Tasks":
        """Apply and cut, step by step."""
        for lines in steps:
            now_ms = MAKE.NOW_MS + self.number * 1_000
            self.number += 1
            for partition, core in enumerate(self.cores):
                for batch in MAKE.batches(lines, partition, self.offsets):
                    core.apply(batch, now_ms)
                cut = core.cut(now_ms)
                self.keep(partition, cut)
                sent = cut.partials
                if sent:
                    offsets = list(range(self.partials, self.partials + len(sent)))
                    self.partials += len(sent)
                    values: list[bytes | None] = [record.value for record in sent]
                    nothing: list[bytes | None] = [None] * len(sent)
                    batch = RecordBatch("partials", 0, offsets, [0] * len(sent), nothing, values, NoHeaders())
                    self.system.apply(batch, now_ms)
            self.keep(2, self.system.cut(now_ms))
        return self

    def keep(self, task: int, cut: Cut) -> None:
        """As a flush and the broker's compaction do."""
        MAKE.keep(self.logs[task], cut)
        self.emitted += cut.outbox.emitted

    def restored(self) -> "Tasks":
        """New cores from the golden state, at the place in the stream where it was made."""
        for core, name in zip(self.tasks, ("module-0", "module-1", "system"), strict=True):
            core.restore(golden(name))
        for log, name in zip(self.logs, ("module-0", "module-1", "system"), strict=True):
            log.update(golden(name))
        self.number = len(MAKE.steps())
        for partition, core in enumerate(self.cores):
            self.offsets |= {(partition, source): offset for source, offset in core.offsets.items()}
        self.partials = self.system.offsets["partials"]
        return self


def records(tasks: Tasks, since: int) -> dict[tuple[str, bytes], list[dict[str, Any]]]:
    """What went out from some record on, by key; without clocks, and without statuses, which version 1 did not write."""
    out: dict[tuple[str, bytes], list[dict[str, Any]]] = {}
    for emitted in (e for e in tasks.emitted[since:] if e.role != "health_status"):
        record = {name: value for name, value in json.loads(emitted.value).items() if name not in FREE}
        out.setdefault((emitted.role, emitted.key), []).append(record)
    return out


def check_same(found: dict[str, Any], steady: dict[str, Any]) -> None:
    """Equal, but for what version 1 did not know and says nothing of."""
    for part in (found, steady):
        part.setdefault("health", {})
    # An alert that version 1 raised keeps the start that its records showed, the end of that window.
    if "starts_at" in found:
        assert found.pop("starts_at") - steady.pop("starts_at") in (0, 10_000, 30_000)
    health, steady_health = found.pop("health"), steady.pop("health")
    assert health.pop("since", None) in (None, steady_health.pop("since", None))
    assert health == steady_health
    # Version 1 did not count silence, so a module that had fallen silent before is not known to be. The class of a window without
    # requests goes by that, and so does since when the windows behind it are what they are.
    if "overall_health" in steady:
        for name in ("silent_modules", "silent_partitions"):
            assert found.pop(name) <= steady.pop(name), name
        for part in (found, steady):
            part.pop("health_since", None)
            if not part["total_requests"]:
                part |= {"overall_health": "", "health_score": 0.0}
    for name in NOT_COLLECTED:
        assert found.pop(name, None) in (None, steady.pop(name, None)), name
    assert found == steady


def test_the_cores_go_on_from_the_golden_state_as_if_they_had_made_it() -> None:
    steady = Tasks().play(MAKE.steps())
    so_far = len(steady.emitted)
    steady.play(MAKE.after())
    found = Tasks().restored().play(MAKE.after())
    expected, got = records(steady, so_far), records(found, 0)
    assert got.keys() == expected.keys()
    for key, history in got.items():
        ours, theirs = ([r for r in h if r["status"] == "final"] for h in (history, expected[key]))
        for record, other in ((history[-1], expected[key][-1]), *zip(ours, theirs, strict=True)):
            check_same(dict(record), dict(other))
    for core, other_core in zip(found.cores, steady.cores, strict=True):
        assert core.ledgers == other_core.ledgers
        assert core.offsets == other_core.offsets


def test_averages_that_version_1_did_not_collect_are_null_and_those_of_new_windows_are_there() -> None:
    found = [json.loads(e.value) for e in Tasks().restored().play(MAKE.after()).emitted if e.role == "module_metrics"]
    begun = [
        r for r in found if (r["module_id"], r["window"], r["window_start"]) == ("cart", "5m", MAKE.BEGIN_MS + 300_000)
    ]
    assert begun
    assert all(r["memory_bytes"] is not None and r["memory_bytes_avg"] is None for r in begun)
    fresh = [r for r in found if (r["module_id"], r["window"]) == ("cart", "10s") and r["memory_bytes"] == 9]
    assert fresh
    assert fresh[-1]["memory_bytes_avg"] == 9.0
    assert fresh[-1]["memory_bytes_max"] == 9


def test_once_rewritten_the_state_is_of_version_2_and_can_be_restored_again() -> None:
    tasks = Tasks().restored().play(MAKE.after())
    for core, log in zip((0, 1), tasks.logs[:2], strict=True):
        assert unpack_position(log[POSITION_KEY]).v == 2
        fresh = ModuleCore(MAKE.CONFIG, RULES, partition=core, partitions=2)
        fresh.restore(dict(log))
        assert fresh.ledgers == tasks.cores[core].ledgers
        assert fresh.modules.codes == tasks.cores[core].modules.codes
    SystemCore(replace(MAKE.CONFIG, limits=Limits()), RULES).restore(dict(tasks.logs[2]))


class PositionV1(Struct, frozen=True):
    """How the build before this one reads a position; it refuses any `v` but 1 by its number."""

    v: int
    fingerprint: str
    partitions: int
    offsets: dict[str, int]
    stream_ms: int | None
    ledger: dict[str, Ledger]
    sequence: int = 0
    ticks: dict[str, int] = {}
    extra: dict[str, int] = {}


def test_a_build_of_version_1_reads_the_version_of_todays_position_and_so_refuses_it_by_name() -> None:
    tasks = Tasks().play(MAKE.steps()[:1])
    for core in tasks.tasks:
        value = pack_position(core.cut(MAKE.NOW_MS).position)
        assert msgspec.json.decode(value, type=PositionV1).v == 2


HOMES = {"auth": 1, "mail": 1, "__other__": 1}


def home(module_id: str, partitions: int) -> int:
    """Two partitions as the golden state has them; a third one takes the modules of the second."""
    return HOMES.get(module_id, 0) * (partitions - 1)


@pytest.mark.parametrize("restart", [False, True])
def test_ids_that_version_1_stored_are_known_where_their_modules_go_when_partitions_are_added(restart: bool) -> None:
    old = Tasks().restored().cores
    align(old, MAKE.NOW_MS)
    for core in old:
        core.cut(MAKE.NOW_MS, everything=True)
    new = [ModuleCore(MAKE.CONFIG, RULES, partition=number, partitions=3) for number in range(3)]
    rekey(old, new, home)
    moved = new[2]
    assert set(moved.modules.codes) == {"__other__", "auth", "mail"}
    if restart:
        log: dict[bytes, bytes] = {}
        MAKE.keep(log, moved.cut(MAKE.NOW_MS))
        moved = ModuleCore(MAKE.CONFIG, RULES, partition=2, partitions=3)
        moved.restore(log)
    for batch in MAKE.batches(
        [MAKE.event(2, "auth", 399, event_id="a59"), MAKE.event(2, "auth", 399, event_id="new")], 2, {}
    ):
        moved.apply(batch, MAKE.NOW_MS)
    assert (moved.ledgers["events"].duplicate, moved.ledgers["events"].applied) == (1, 1)
