"""Which fields of a window record a rule may name, found from the record types themselves.

Left out are fields that are not a function of the events: a rule that read `last_updated` or `revision` would alert
differently in a replay. `sketch` is bytes for machines.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import msgspec.inspect as mi

from pipeline.alerts.durations import format_utc
from schemas.metrics import AggregatedMetrics, Completeness, Health, ModuleMetrics, ResponseTime

Scope = Literal["module", "system"]
Record = ModuleMetrics | AggregatedMetrics
FieldValue = float | str | list[str] | None
FieldKind = Literal["number", "text", "list"]

SCOPES: tuple[Scope, ...] = ("module", "system")
_EXCLUDED = frozenset({"sketch", "last_updated", "revision"})


@dataclass(frozen=True, slots=True)
class Silent:
    """One silent module in one closed window of which it has no record.

    Attributes:
        window: name of the window's size.
        window_start, window_end: of the window.
        since_ms: start of the first base window without an event of the module.
    """

    module_id: str
    window: str
    window_start: int
    window_end: int
    since_ms: int

    @property
    def silent_since(self) -> str:
        """Since when, for people."""
        return format_utc(self.since_ms)

    @property
    def condition(self) -> str:
        """What holds, in words."""
        return f"no event since {self.silent_since}"


@dataclass(frozen=True, slots=True)
class Field:
    """One field that rules may read.

    Attributes:
        path: its name, dotted below a group (`response_time_ms.p99`).
        kind: number (integers too), text, or a list of texts.
        choices: the only values a text can have; empty if it can have any.
        least, most: of a number; nothing a record says is below 0.
    """

    path: str
    kind: FieldKind
    choices: tuple[str, ...] = ()
    least: float = 0.0
    most: float = math.inf


def _leaves(kind: mi.Type, path: str) -> list[Field]:
    match kind:
        case mi.StructType(fields=members):
            prefix = f"{path}." if path else ""
            return [
                leaf for m in members if m.name not in _EXCLUDED for leaf in _leaves(m.type, f"{prefix}{m.encode_name}")
            ]
        case mi.UnionType(types=types):
            return [leaf for t in types if not isinstance(t, mi.NoneType) for leaf in _leaves(t, path)]
        case mi.IntType(ge=least, le=most) | mi.FloatType(ge=least, le=most):
            return [Field(path, "number", (), float(least or 0), math.inf if most is None else float(most))]
        case mi.LiteralType(values=values):
            return [Field(path, "text", tuple(str(v) for v in values))]
        case mi.StrType():
            return [Field(path, "text")]
        case mi.ListType():
            return [Field(path, "list")]
        case _:
            raise TypeError(f"{path}: rules cannot read a {kind}")


def _of_modules() -> dict[str, Field]:
    fields = {leaf.path: leaf for leaf in _leaves(mi.type_info(ModuleMetrics), "")}
    # A module without a request has no record.
    fields["total_requests"] = replace(fields["total_requests"], least=1.0)
    return fields


FIELDS: dict[Scope, dict[str, Field]] = {
    "module": _of_modules(),
    "system": {leaf.path: leaf for leaf in _leaves(mi.type_info(AggregatedMetrics), "")},
}

_TIMES = ResponseTime(avg=40.0, min=1.0, max=900.0, stddev=30.0, p50=35.0, p90=80.0, p95=120.0, p99=300.0, p999=700.0)

# A full record of each scope, every gauge sent: what a rule is tried on when it is loaded.
EXAMPLE_MODULE = ModuleMetrics(
    module_id="checkout", window="1m", window_start=1_700_000_040_000, window_end=1_700_000_100_000,
    status="final", revision=1, total_requests=600, successful_requests=588, failed_requests=12,
    success_rate=0.98, error_rate=0.02, throughput_rps=10.0, response_time_ms=_TIMES,
    percentile_relative_error=0.01, memory_bytes=512 << 20, cpu_percent=35.0, cpu_percent_avg=30.0,
    goroutines=120, db_connections=8,
    health=Health("healthy", 100.0, ["all signals within their thresholds"], since=1_700_000_010_000),
    last_updated=1_700_000_110_000, sketch="", memory_bytes_avg=500e6, memory_bytes_max=600 << 20, goroutines_avg=110.0,
    goroutines_max=140, db_connections_avg=7.5, db_connections_max=9, cpu_percent_max=60.0,
)  # fmt: skip
EXAMPLE_SYSTEM = AggregatedMetrics(
    window="1m", window_start=1_700_000_040_000, window_end=1_700_000_100_000, status="final", revision=1,
    overall_health="healthy", health_score=97.0, module_count=20, degraded_modules=1, critical_modules=0,
    silent_modules=1, silent_partitions=0,
    overall_success_rate=0.99, overall_error_rate=0.01, total_requests=12_000, successful_requests=11_880,
    failed_requests=120, response_time_ms=_TIMES, overall_throughput=200.0, total_memory_bytes=8 << 30,
    average_cpu_percent=40.0, total_goroutines=2_400, db_connections=160,
    completeness=Completeness(partitions_expected=4, partitions_seen=4), last_updated=1_700_000_110_000,
    health_since=1_700_000_010_000,
)  # fmt: skip
EXAMPLES: dict[Scope, Record] = {"module": EXAMPLE_MODULE, "system": EXAMPLE_SYSTEM}
