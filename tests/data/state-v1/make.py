"""Writes the golden state of version 1 beside this file, and the events and partials that it was made from.

Run it with the build of commit c5f673c, the last one that wrote version 1: `PYTHONPATH=<its checkout> python make.py`. The state
holds what a migration can lose: two partitions and the system task, modules beyond the first chunk, a chunk of modules that have
all expired, closed windows that still take corrections, owed records, event ids, `__other__`, and alerts of every status.
"""

import base64
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(1, str(HERE.parents[2]))

from pipeline.alerts.rules import load_rules  # noqa: E402 - the checkout named by PYTHONPATH comes first
from pipeline.config import CoreConfig, HealthConfig, HealthProfile, Limits, WindowConfig  # noqa: E402
from pipeline.ingest.batch import NoHeaders, RecordBatch  # noqa: E402
from pipeline.outputs import Cut, Partial  # noqa: E402
from pipeline.system.core import SystemCore  # noqa: E402
from schemas.state import POSITION_KEY, pack_position  # noqa: E402

BEGIN_MS = 1_700_000_100_000  # a whole five minutes
NOW_MS = BEGIN_MS + 3_600_000
SIZES = (("10s", 10_000), ("30s", 30_000), ("1m", 60_000), ("5m", 300_000))
PARTITIONS = 2
RULES = """
[[rule]]
name = "Errors"
window = "10s"
expression = "error_rate > 0.5"
[[rule]]
name = "Slow"
window = "30s"
expression = "response_time_ms.max > 900.0"
for = "10m"
[[rule]]
name = "Busy"
scope = "system"
window = "10s"
expression = "total_requests >= 20"
"""
CONFIG = CoreConfig(
    WindowConfig(SIZES, grace_ms=5_000, corrections_ms=60_000, emit_interval_ms=5_000),
    HealthConfig(HealthProfile(min_requests=2, worsen_windows=1, improve_windows=2)),
    Limits(max_modules=80, module_expiry_ms=100_000),
)

# (partition, source, key, value): one record of the input.
Line = tuple[int, str, str, dict[str, object]]


def event(partition: int, module: str, after_s: float, ms: float = 20.0, ok: bool = True, **more: object) -> Line:
    """One event, `after_s` seconds after the beginning."""
    time_ms = BEGIN_MS + int(after_s * 1_000)
    fields = {"module_id": module, "timestamp": time_ms, "success": ok, "response_time_ms": ms}
    return partition, "events", module, fields | more


def steps() -> list[list[Line]]:
    """What was applied before each cut."""
    first = [event(1, "auth", second, memory_bytes=second << 20, cpu_percent=10.5 + second) for second in range(10)]
    first += [event(1, "mail", 1), event(0, "m00", 1, ok=False)]
    first += [
        event(1, f"m{number:02}", number / 10, ms=number + 0.1, ok=number < 64) for number in range(70) for _ in "ab"
    ]
    quiet = [[event(0, "m00", second), event(1, "auth", second, goroutines=7)] for second in range(40, 330, 20)]
    # From second 365 on the windows of the first five minutes are sealed: all modules but auth and mail leave partition 1.
    busy: list[Line] = []
    for number in range(60):
        after_s = 340 + number
        busy.append(event(0, "cart", after_s, ms=5.0 + number, event_id=f"c{number}", memory_bytes=(1 << 30) + number))
        busy.append(
            event(0, "search", after_s, ms=1_000.0, ok=number < 40, event_id=f"s{number % 50}", cpu_percent=50.0)
        )
        busy.append(event(1, "auth", after_s, ms=0.1 * number, event_id=f"a{number}", db_connections=number))
        busy.append(event(1, "mail", after_s, ok=number > 30))
    other = [(1, "repartition", "__other__", event(1, f"guest{n}", 370 + n, event_id="g")[3]) for n in range(4)]
    late = [event(0, "cart", 350, ms=7.5, event_id="late-1"), event(1, "mail", 375), event(0, "m00", 1)]
    repeated = [event(0, "cart", 399, event_id="c59"), event(1, "auth", 390, event_id="a50")]
    owed = [event(0, "cart", 401, ms=3.25), event(1, "auth", 403, ms=3.25, memory_bytes=5)]
    return [first, *quiet, busy[:200], busy[200:] + other, late + repeated, owed]


def after() -> list[list[Line]]:
    """What a restored core is given."""
    return [
        [
            event(0, "cart", 370, ms=8.5, event_id="late-2"),
            event(0, "cart", 401, event_id="c59"),
            event(1, "auth", 404),
        ],
        [event(1, "auth", 404, event_id="a59"), event(1, "mail", 350, ok=False), event(0, "search", 401, ok=True)],
        [(1, "repartition", "__other__", event(1, "guest2", 373, event_id="g")[3])],
        [
            event(0, "fresh", 410),
            event(0, "cart", 411, ms=99.0, memory_bytes=9),
            event(1, "auth", 415, cpu_percent=1.5),
        ],
        [event(0, "cart", 570), event(1, "auth", 570, goroutines=3)],
        [event(0, "search", 1_000), event(1, "auth", 1_000), event(1, "mail", 1_000)],
    ]


def batches(lines: Sequence[Line], partition: int, offsets: dict[tuple[int, str], int]) -> list[RecordBatch]:
    """The records of one partition, a batch for each source; `offsets` counts on."""
    out = []
    for source in ("events", "repartition"):
        mine = [(key, value) for where, topic, key, value in lines if (where, topic) == (partition, source)]
        first = offsets.get((partition, source), 0)
        offsets[partition, source] = first + len(mine)
        keys: list[bytes | None] = [key.encode() for key, _ in mine]
        values: list[bytes | None] = [json.dumps(value).encode() for _, value in mine]
        numbers = list(range(first, first + len(mine)))
        if mine:
            forwarded = source == "repartition"
            out.append(
                RecordBatch(source, partition, numbers, [NOW_MS] * len(mine), keys, values, NoHeaders(), forwarded)
            )
    return out


def keep(log: dict[bytes, bytes], cut: Cut) -> None:
    """Do to a changelog what a flush and the broker's compaction do."""
    for key, value in cut.state:
        log.pop(key, None) if value is None else log.__setitem__(key, value)
    log[POSITION_KEY] = pack_position(cut.position)


def main() -> None:
    """Write the files."""
    # Where that build has it; later builds have it elsewhere, and need only the stream above.
    module_core = importlib.import_module("pipeline.module_core").ModuleCore
    rules = load_rules(RULES, "rules.toml", [name for name, _ in SIZES])
    cores = [module_core(CONFIG, rules, partition=number, partitions=PARTITIONS) for number in range(PARTITIONS)]
    system = SystemCore(replace(CONFIG, limits=Limits()), rules)
    logs: list[dict[bytes, bytes]] = [{}, {}, {}]
    offsets: dict[tuple[int, str], int] = {}
    partials: list[Partial] = []
    for number, lines in enumerate(steps()):
        now_ms = NOW_MS + number * 1_000
        for partition, core in enumerate(cores):
            for batch in batches(lines, partition, offsets):
                core.apply(batch, now_ms)
            cut = core.cut(now_ms)
            keep(logs[partition], cut)
            sent = cut.partials
            first = len(partials)
            partials += sent
            if sent:
                keys: list[bytes | None] = [record.key for record in sent]
                values: list[bytes | None] = [record.value for record in sent]
                places = list(range(first, len(partials)))
                system.apply(RecordBatch("partials", 0, places, [0] * len(sent), keys, values, NoHeaders()), now_ms)
        keep(logs[2], system.cut(now_ms))
    for name, log in zip(("module-0", "module-1", "system"), logs, strict=True):
        state = {key.decode(): base64.b64encode(value).decode() for key, value in sorted(log.items())}
        (HERE / f"{name}.json").write_text(json.dumps(state, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
