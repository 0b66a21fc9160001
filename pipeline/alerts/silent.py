"""A module that fell silent, as rules see it: it has no record, and its absence is what an alert is about."""

from dataclasses import dataclass

from pipeline.alerts.durations import format_utc


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
