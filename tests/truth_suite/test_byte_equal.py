"""However an input is fetched, dealt to workers, interrupted and timed: the final records are those of a replay, byte by byte.

Only `revision` and `last_updated` may differ. The same holds of the newest record of each key, the late letters and the ledgers.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import product

import orjson
import pytest

from pipeline.config import CoreConfig, WindowConfig
from pipeline.cores import module_restore
from pipeline.cores.applier import Applier
from pipeline.cores.module_parts import ModuleParts
from pipeline.windows.stream_time import StreamTime
from tests.support.core.cores import NOW_MS
from tests.truth_suite import real_spans, seeded
from tests.truth_suite.crew import Crew, Keyed, Outcome, replayed
from tests.truth_suite.figures import Figures
from tests.truth_suite.mutants import plant

STREAMS = 40
# Those with most of the duplicates.
REAL_LINES = slice(20_000, 30_000)
REAL_SEEDS = range(2)
# The tight one has late events, and closes and seals windows all the time.
CONFIGS = {
    "default": CoreConfig(),
    "tight": CoreConfig(
        WindowConfig((("2s", 2_000), ("10s", 10_000), ("1m", 60_000)), grace_ms=1_000, corrections_ms=8_000)
    ),
}
WORKERS = (1, 2, 3)


def tally(crew: Crew, outcome: Outcome) -> Counter[str]:
    """What a run has seen."""
    late = sum(ledger.late for ledger in outcome.ledgers.values())
    seen = {"runs": 1, "finals": len(outcome.finals), "deaths": crew.deaths, "moves": crew.moves, "late": late}
    return Counter(seen)


def sentence(total: Counter[str]) -> str:
    """What all runs have seen."""
    schedule = f"{total['deaths']:,} deaths of workers, {total['moves']:,} moves of partitions"
    return (
        f"{total['runs']:,} runs on 1 to 3 workers ({schedule}), {total['finals']:,} finals: all the bytes of a replay"
    )


def test_generated_streams_give_the_bytes_of_a_replay(figures: Figures) -> None:
    total: Counter[str] = Counter()
    for seed in range(STREAMS):
        config, partitions = seeded.config(seed), 1 + seed % 3
        lines = [(event.module, event.value) for event in seeded.stream(seed)]
        expected = replayed(lines, config, partitions, NOW_MS)
        for workers in WORKERS:
            crew = Crew(lines, config, partitions=partitions, workers=workers, now_ms=NOW_MS, seed=seed)
            outcome = crew.work()
            assert outcome.differences(expected) == [], f"stream {seed}, {workers} workers"
            total.update(tally(crew, outcome))
    figures.say("bytes, generated", sentence(total))
    assert min(total["finals"], total["deaths"], total["moves"], total["late"]) > STREAMS


Real = tuple[list[Keyed], dict[str, Outcome]]


@pytest.fixture(scope="module")
def real() -> Real:
    """Some real spans, and what a replay says of them with each configuration."""
    lines = [(orjson.loads(line)["module_id"], line) for line in real_spans.all_lines()[REAL_LINES]]
    replays = {
        name: replayed(lines, config, real_spans.PARTITIONS, real_spans.NOW_MS) for name, config in CONFIGS.items()
    }
    return lines, replays


def crew_of(lines: Sequence[Keyed], config: CoreConfig, workers: int, seed: int) -> Crew:
    """Some workers on the real spans."""
    partitions, now_ms = real_spans.PARTITIONS, real_spans.NOW_MS
    return Crew(lines, config, partitions=partitions, workers=workers, now_ms=now_ms, seed=seed)


def test_real_spans_give_the_bytes_of_a_replay(real: Real, figures: Figures) -> None:
    lines, replays = real
    total: Counter[str] = Counter()
    for (name, config), workers, seed in product(CONFIGS.items(), WORKERS, REAL_SEEDS):
        crew = crew_of(lines, config, workers, seed)
        outcome = crew.work()
        assert outcome.differences(replays[name]) == [], f"{name}, {workers} workers, seed {seed}"
        total.update(tally(crew, outcome))
    figures.say("bytes, real spans", sentence(total))
    assert min(total["finals"], total["deaths"], total["moves"], total["late"]) > len(CONFIGS)


BUGS = {
    "stream time is that of the whole batch": (
        StreamTime,
        "running",
        "np.maximum.accumulate(times)",
        "np.full(len(times), times.max())",
    ),
    "stream time depends on the wall clock": (
        Applier,
        "_judge_times",
        "self._closer.advance(int(streams[-1]), now_ms, spared)",
        "self._closer.advance(int(streams[-1]) + now_ms % 60_000, now_ms, spared)",
    ),
    "a restore forgets the ids of events": (
        module_restore,
        "_restore_ids",
        "parts.dedup.restore((pane_end, sequence), -(-pane_end // base_ms) * base_ms, ids, old=old)",
        "pass",
    ),
    "a restore goes on one record too far": (
        ModuleParts,
        "take_position",
        "dict(position.offsets)",
        "{topic: offset + 1 for topic, offset in position.offsets.items()}",
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_seen(bug: str, real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, replays = real
    plant(monkeypatch, *BUGS[bug])
    seen = [
        difference
        for name, config in CONFIGS.items()
        for difference in crew_of(lines, config, workers=2, seed=0).work().differences(replays[name])
    ]
    assert [difference for difference in seen if difference.startswith("final of")]
