"""What the rows have in common: traffic, windows and settings, and rows that run with a planted bug and without."""

from dataclasses import replace

from tests.faults.judge.oracle import Windows
from tests.faults.plan import Step
from tests.faults.run import Row
from tests.faults.traffic import Mix

# Few corrections, so that an hour that is not over can be told from one that is within seconds.
IDLE_WINDOWS = Windows({"1s": 1_000, "5s": 5_000}, grace=500, keep=2_000)
IDLE = {"windows__corrections": "1500ms", "windows__idle_timeout": "3s", "kafka__session_timeout": "20s"}
# No event near the limit of lateness: only true silence may move stream time here, and a pause of the producer is that.
STEADY = Mix(rate=1_000, straggling=0.0)
LIGHT = Mix(rate=1_500)
SMALL = Mix(rate=500, modules=20)
# Where all events are forwarded none is bad or late when it is sent, so what comes of them is decided where they go.
FORWARDED = Mix(rate=800, modules=20, late=0.0, bad=0.0, foreign=0.3)
ALWAYS = {"repartition": "always"}
# No event near the limit of lateness: in which order a task takes its two topics stands nowhere.
FOREIGN = replace(FORWARDED, straggling=0.0)
LONG_KEPT = {"windows__corrections": "10m"}
# One event in 2 s on one partition: only while a record is waited for can a step of the clock be taken for silence.
SPARSE = Mix(rate=0.5, modules=2, straggling=0.0, late=0.0, repeated=0.0, bad=0.0)
SPARSE_IDLE = {"windows__corrections": "1500ms", "windows__idle_timeout": "5s", "kafka__session_timeout": "20s"}
STEP_S = 60.0


def clock_row(name: str, about: str, steps: tuple[Step, ...], seconds: float, mutant: str | None = None) -> Row:
    """The workers' wall clock steps, the senders' does not: stream time must not move, and no good event may become late."""
    return Row(
        name,
        about,
        steps,
        seconds,
        workers=1,
        partitions=1,
        mix=SPARSE,
        settings=SPARSE_IDLE,
        windows=IDLE_WINDOWS,
        static=True,
        mutant=mutant,
        expects_ends=mutant is not None,
    )


def idle_row(name: str, freezes: int, mutant: str | None = None) -> Row:
    """Partitions stall while events go on: they are behind, not idle, and no good event may become late."""
    return Row(
        name,
        "SIGSTOP for 8 s within the session timeout, idle timeout 3 s: the stalled partitions are behind, not idle",
        tuple(Step(4.0 + 14.0 * number, "freeze", number, 8.0) for number in range(freezes)),
        seconds=15,
        mix=STEADY if mutant is None else replace(STEADY, rate=500, modules=20),
        workers=2 if mutant is None else 1,
        settings=IDLE,
        windows=IDLE_WINDOWS,
        mutant=mutant,
    )
