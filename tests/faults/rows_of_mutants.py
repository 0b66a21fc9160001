"""Rows of planted bugs, and the same rows without the bugs."""

from dataclasses import replace

from pipeline.native import load_native
from tests.faults.mixes import ALWAYS, FORWARDED, SMALL, STEP_S, clock_row, idle_row
from tests.faults.plan import Step
from tests.faults.run import Row
from tests.faults.traffic import Mix

SHORT_MUTANTS = (
    *("drop 1 event in 10,000", "apply a batch twice after restart", "forward a record twice", "ignore `for`"),
)


def _mutant(name: str, about: str, steps: list[Step], seconds: float, mix: Mix = SMALL, workers: int = 1) -> Row:
    """A row just long enough to show a planted bug."""
    return Row(
        name,
        about,
        tuple(steps),
        seconds,
        workers,
        mix=mix,
        ending="flush",
        static=workers == 1,
        mutant=name,
        expects_ends=True,
    )


def mutant_rows() -> list[Row]:
    """One planted bug each."""
    killed = [Step(4.0, "kill"), Step(8.0, "kill")]
    come_and_go = [Step(4.0, "join"), Step(9.0, "leave", 1)]
    ahead = tuple(Step(4.0 + 8.0 * number, "clock-step", 0, 2.5, by_s=STEP_S) for number in range(4))
    forwarding = [
        replace(_mutant(name, "every event forwarded", [], 12, FORWARDED), settings=ALWAYS, forwarding="all")
        for name in ("drop a forwarded record", "forward a record twice")
    ]
    system = [
        replace(_mutant("drop a partial", "nothing else happens", [], 12), ending="close"),
        replace(_mutant("merge a partial twice after restart", "two kills", killed, 12), ending="close"),
    ]
    compiled = _mutant("flip a flag in the compiled part", "nothing else happens", [], 12, replace(SMALL, rate=1_500))
    return [
        _mutant("commit before processing", "two kills", killed, 12),
        _mutant("skip fencing", "SIGSTOP beyond the session timeout", [Step(4.0, "freeze", 0, 10.0)], 18, workers=2),
        replace(_mutant("drop 1 event in 10,000", "nothing else happens", [], 12), partitions=1),
        _mutant("apply a batch twice after restart", "two kills", killed, 12),
        _mutant("restore without the last record", "two kills", killed, 12),
        _mutant("forget the dedup set", "two kills", killed, 12, replace(SMALL, repeated=0.1)),
        replace(idle_row("idle by timer alone", 2, "idle by timer alone"), seconds=20),
        _mutant("stream time of the batch maximum", "one kill", killed[:1], 12, replace(SMALL, straggling=0.1)),
        *forwarding,
        _mutant("lose a transition at a restart", "two kills", killed, 14),
        _mutant("ignore `for`", "nothing else happens", [], 12),
        *system,
        _mutant("lose a span after a rebalance", "a second worker joins and leaves", come_and_go, 14),
        _mutant("a gap is not read again", "one piece in 20 is dropped on its way to a task", [], 12),
        # Where there is no Rust there is nothing to plant it into.
        *([compiled] if load_native() is not None else []),
        clock_row(
            "silence by the wall clock", "a minute ahead for 2.5 s, four times", ahead, 34, "silence by the wall clock"
        ),
    ]


def control_rows() -> list[Row]:
    """The mutants' rows without the bugs: they must be clean, or what makes a mutant red is not its bug.

    The control of a gap that is not read again drops the pieces too: the product must read them again.
    """
    dropping = "a gap is not read again"
    rows = [replace(row, name=f"control: {row.name}", mutant=None) for row in mutant_rows()]
    return [
        replace(row, mutant="drop pieces on the way", harmless=True) if row.name == f"control: {dropping}" else row
        for row in rows
    ]
