"""What services publish: `ModuleLogEvent` on `module-log-events` and `MetricSample` on `metric-samples`."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

MAX_MODULE_ID_CHARS = 200
MAX_EVENT_ID_CHARS = 256
MAX_GAUGE = 2**63 - 1

ModuleId = Annotated[str, Meta(min_length=1, max_length=MAX_MODULE_ID_CHARS)]
EventId = Annotated[str, Meta(max_length=MAX_EVENT_ID_CHARS)]
Gauge = Annotated[int, Meta(ge=0, le=MAX_GAUGE)]
EpochMs = Annotated[int, Meta(ge=0, le=MAX_GAUGE, description="epoch milliseconds")]
Rfc3339 = Annotated[str, Meta(description="RFC 3339 date and time with an offset")]


# native/src/event.rs reads the same fields.
class ModuleLogEvent(Struct, frozen=True, gc=False):
    """One request handled by one module (contract section 2). Unknown fields are ignored.

    `response_time_ms` must be finite: the JSON decoder refuses NaN, infinities and literals that overflow a double.
    """

    module_id: ModuleId
    timestamp: EpochMs | Rfc3339
    success: bool
    response_time_ms: Annotated[float, Meta(ge=0)]
    event_id: EventId | None = None
    memory_bytes: Gauge | None = None
    goroutines: Gauge | None = None
    db_connections: Gauge | None = None
    cpu_percent: Annotated[float, Meta(ge=0)] | None = None
    labels: dict[str, str] | None = None


class MetricSample(Struct, frozen=True, gc=False, omit_defaults=True):
    """One measurement of one named metric, with labels."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    value: float
    timestamp: EpochMs | Rfc3339
    type: Literal["counter", "gauge", "histogram", "summary", "timer"] = "gauge"
    labels: dict[str, str] = {}
    unit: str = ""
    sample_id: EventId | None = None


class CloudEvent(Struct, frozen=True):
    """A CloudEvents 1.0 envelope in structured mode; only what carries the event is read."""

    specversion: str
    id: str
    data: msgspec.Raw = msgspec.Raw()  # empty: absent
    data_base64: str | None = None
