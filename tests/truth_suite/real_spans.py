"""The real spans, and what a replay says of them with the default configuration."""

import gzip
import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from pipeline.config import CoreConfig
from tests.support.paths import DATA
from topology.traffic.replay import Step, replay

FILE = DATA / "real-spans.jsonl.gz"
PARTITIONS = 4
# Later than every span, so that none lies in the future; any such clock gives the same.
NOW_MS = 1_800_000_000_000

Json = dict[str, Any]


def key_of(record: Json) -> tuple[str, str, int]:
    """Module, window and start."""
    return record["module_id"], record["window"], record["window_start"]


@cache
def all_lines() -> tuple[bytes, ...]:
    """All of them, in the order of the file."""
    with gzip.open(FILE) as file:
        return tuple(line.rstrip(b"\n") for line in file)


def replayed(lines: Iterable[bytes]) -> list[Step]:
    """Replay lines, and close every window at the end."""
    return list(replay(lines, CoreConfig(), partitions=PARTITIONS, now_ms=NOW_MS, drain=True))


def newest_records(lines: Sequence[bytes]) -> list[Json]:
    """What a reader is left with after a replay: of each key the record of the highest revision."""
    newest: dict[bytes, Json] = {}
    for step in replayed(lines):
        for emitted in step.cut.outbox.emitted:
            if emitted.role == "module_metrics":
                record: Json = json.loads(emitted.value)
                assert emitted.key not in newest or newest[emitted.key]["revision"] < record["revision"]
                newest[emitted.key] = record
    return list(newest.values())
