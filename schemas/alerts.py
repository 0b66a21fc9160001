"""Alerts as published on `module-alerts` (contract section 5). The rules they come of are in pipeline/alerts/rules.py."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

AlertStatus = Literal["pending", "firing", "resolved"]


class Alert(Struct, frozen=True, gc=False):
    """One transition of one alert.

    Times are event time, epoch milliseconds, but for `updated_at`, the wall clock at which the record was made.

    `fingerprint` depends on the labels alone, so it is the same before and after a restart. `starts_at` is the start of the
    first window in which the condition held; `ends_at` is null while it lasts, and never before `starts_at`.
    """

    fingerprint: str
    alertname: str
    status: AlertStatus
    severity: str
    module_id: str | None
    labels: dict[str, str]
    annotations: dict[str, str]
    value: float | None
    threshold: float | None
    starts_at: int
    ends_at: int | None
    updated_at: int
    reason: str
    revision: Annotated[int, Meta(ge=1)]
