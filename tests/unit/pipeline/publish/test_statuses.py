"""A module has a record at each change of its class and of its silence, and none once it expired."""

from dataclasses import replace

from pipeline.config import Limits
from tests.support.core.cores import START_MS, Event, Run, config_of
from tests.support.core.statuses import told


def test_a_module_is_critical_then_silent_then_well_then_gone() -> None:
    config = replace(config_of((1, 4), 0, 1_000), limits=Limits(module_expiry_ms=20_000))
    run = Run(config)

    def at(second: int, module: str, success: bool = True) -> list[Event]:
        return [Event(module, START_MS + second * 1_000 + n, 5.0, success) for n in range(3)]

    for second in range(60):
        events = at(second, "clock")
        if second < 6:
            events += at(second, "m", success=second < 2)
        elif 12 <= second < 18:
            events += at(second, "m")
        run.apply(sorted(events, key=lambda event: event.time))
    run.cut()
    history = told(run)["m"]
    assert [(status, None if since is None else (int(str(since)) - START_MS) // 1_000) for status, since, *_ in history] == [
        ("healthy", 0),
        ("critical", 3),
        ("silent", 6),
        ("critical", 12),
        ("healthy", 13),
        ("silent", 18),
        ("gone", None),
    ]  # fmt: skip
    assert history[2][2:] == (None, ["no event since 2001-09-09 01:46:06 UTC"])
    assert [status for status, *_ in told(run)["clock"]] == ["healthy"]


def test_late_events_that_end_a_silence_end_it_on_the_topic_too() -> None:
    run = Run(config_of((1, 4), 0, 60_000))
    for second in range(8):
        run.apply([Event("clock", START_MS + second * 1_000)])
        if second < 3:
            run.apply([Event("m", START_MS + second * 1_000)])
    run.apply([Event("m", START_MS + 5_500)])
    run.apply([Event("clock", START_MS + 9_000)])
    run.cut()
    assert [status for status, *_ in told(run)["m"]] == ["healthy", "silent", "healthy"]
    assert told(run)["m"][-1][3] == ["late events ended the silence; not judged since"]


def test_a_module_whose_silence_is_expected_is_never_called_silent() -> None:
    config = config_of((1, 4), 0, 1_000)
    run = Run(replace(config, health=replace(config.health, expected_silence=("batch-*",))))
    for second in range(9):
        names = ["clock", *(["batch-night", "billing"] if second < 4 else [])]
        run.apply([Event(name, START_MS + second * 1_000) for name in names])
    run.cut()
    assert [status for status, *_ in told(run)["batch-night"]] == ["healthy"]
    assert [status for status, *_ in told(run)["billing"]] == ["healthy", "silent"]
    assert run.core.modules.silent == 1
