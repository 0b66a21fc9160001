"""A rule, records for it, and an alert machine that ticks once a minute."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from pipeline.alerts.fields import EXAMPLE_MODULE, Record
from pipeline.alerts.machine import NOBODY, AlertMachine
from pipeline.alerts.rules import NoData, Rule
from schemas.alerts import Alert
from schemas.metrics import ModuleMetrics

MINUTE = 60_000
SIZES_MS = {"30s": MINUTE // 2, "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE}


def rule(name: str = "HighErrorRate", for_ms: int = 2 * MINUTE, no_data: NoData = "ok") -> Rule:
    """A rule of modules over windows of a minute: an error rate above 0.05."""
    return Rule(
        name=name,
        scope="module",
        window="1m",
        expression="error_rate > threshold",
        threshold=0.05,
        value="error_rate",
        for_ms=for_ms,
        severity="warning",
        labels={"team": "core"},
        annotations={"summary": "{module_id} fails {error_rate:.0%}"},
        no_data=no_data,
        line=1,
    )


def record(error_rate: float, module_id: str = "checkout") -> ModuleMetrics:
    """A record with that error rate."""
    return replace(EXAMPLE_MODULE, module_id=module_id, error_rate=error_rate)


def tick_of(
    machine: AlertMachine,
    window: str,
    tick_ms: int,
    records: Sequence[Record],
    now_ms: int,
    silent: Mapping[str, int] = NOBODY,
) -> list[Alert]:
    """One tick of a window of known size."""
    return machine.tick(window, tick_ms, records, now_ms, size_ms=SIZES_MS[window], silent=silent)


def run(machine: AlertMachine, *rates: float | None, first: int = 1) -> list[Alert]:
    """One tick a minute; None is a tick without a record."""
    out: list[Alert] = []
    for minute, rate in enumerate(rates, first):
        records = () if rate is None else (record(rate),)
        out += tick_of(machine, "1m", minute * MINUTE, records, minute * MINUTE + 10_000)
    return out
