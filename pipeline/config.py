"""What the core must be told. Plain values: where they come from (flags, environment, file) is the shell's business."""

from dataclasses import dataclass, field
from typing import Literal

from schemas.valid.rules import EventRules

BASE_ALPHA = 0.01

Signal = Literal["success_rate", "p95", "p99", "cpu", "memory", "error_burst"]
SIGNALS: tuple[Signal, ...] = ("success_rate", "p95", "p99", "cpu", "memory", "error_burst")


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """Event-time windows. All times in milliseconds; the first size is the base pane and divides every other.

    Attributes:
        sizes: (name, size_ms) in rising order.
        grace_ms: how long after its end a window waits before its `final` record.
        corrections_ms: how long after that a late event still merges (`corrected`).
        idle_timeout_ms: how long a partition must be read to its end and silent before stream time follows the wall clock.
        min_timestamp_ms: the first time of an event; earlier ones are seconds taken for milliseconds.
        max_future_ms: how far ahead of the wall clock an event may be.
        emit_interval_ms: the least time between two provisional records of a larger window.
    """

    sizes: tuple[tuple[str, int], ...] = (
        ("30s", 30_000),
        ("1m", 60_000),
        ("5m", 300_000),
        ("15m", 900_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
    )
    grace_ms: int = 10_000
    corrections_ms: int = 600_000
    idle_timeout_ms: int = 5_000
    min_timestamp_ms: int = EventRules().min_timestamp_ms
    max_future_ms: int = 300_000
    emit_interval_ms: int = 5_000

    @property
    def base_ms(self) -> int:
        """The base pane, milliseconds."""
        return self.sizes[0][1]

    @property
    def most_open_windows(self) -> int:
        """How many windows of one partition can be open at once.

        Stream time is the largest event time, so a size has the window it is in and those that still wait for late events.
        """
        keep_ms = self.grace_ms + self.corrections_ms
        return sum(-(-keep_ms // size) + 2 for _, size in self.sizes)


@dataclass(frozen=True, slots=True)
class Threshold:
    """One health signal: where it turns bad and how many of the 100 points it carries.

    `degraded` and `critical` of None switch the signal off (its points are always granted).
    """

    degraded: float | None
    critical: float | None
    weight: float


def default_thresholds() -> dict[Signal, Threshold]:
    """The shipped thresholds: rates as ratios, times in ms, CPU in percent, memory in bytes."""
    return {
        "success_rate": Threshold(0.95, 0.90, 40.0),
        "p95": Threshold(1_000.0, 5_000.0, 15.0),
        "p99": Threshold(2_500.0, 10_000.0, 15.0),
        "cpu": Threshold(80.0, 95.0, 10.0),
        "memory": Threshold(8.0 * 2**30, 16.0 * 2**30, 10.0),
        "error_burst": Threshold(0.25, 0.50, 10.0),
    }


@dataclass(frozen=True, slots=True)
class HealthProfile:
    """How one kind of module is judged.

    Attributes:
        thresholds: one per signal.
        min_requests: below this many requests in a window, rates and percentiles are not judged.
        degraded_score: a score under this is degraded; critical_score likewise.
        worsen_windows: windows in a row that must be worse before the class gets worse.
        improve_windows: windows in a row that must be better before the class gets better.
    """

    thresholds: dict[Signal, Threshold] = field(default_factory=default_thresholds)
    min_requests: int = 10
    degraded_score: float = 80.0
    critical_score: float = 50.0
    worsen_windows: int = 1
    improve_windows: int = 2


@dataclass(frozen=True, slots=True)
class HealthOverride:
    """A complete profile for the modules whose id matches a glob (`*`, `?`, `[...]`); the last match wins."""

    glob: str
    profile: HealthProfile


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """The profile of all modules, and the exceptions to it.

    Attributes:
        expected_silence: globs over module ids whose silence is no news: they were taken out, or are no services.
    """

    default: HealthProfile = field(default_factory=HealthProfile)
    overrides: tuple[HealthOverride, ...] = ()
    expected_silence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Ceilings of one partition's task. Reaching any of them is counted and visible, never silent."""

    max_modules: int = 2_000
    module_expiry_ms: int = 86_400_000
    max_record_bytes: int = EventRules().max_record_bytes
    max_labels: int = EventRules().max_labels
    max_label_key_chars: int = EventRules().max_label_key_chars
    max_label_value_chars: int = EventRules().max_label_value_chars
    max_open_windows: int = 20_000
    max_buffered_bytes: int = 32 << 20
    max_dedup_ids_per_pane: int = 250_000


@dataclass(frozen=True, slots=True)
class Start:
    """How a task begins that has no state yet: a new application, or one whose state was lost.

    Attributes:
        whole_from_ms: windows that start before are not published, for the task did not see all their events; None: all are.
        alerts_from_ms: alert rules are not evaluated on windows that end before, so that history raises no alert; None: on all.
        revision_base: revisions of all records begin above it, so that readers take them for newer than what they have.
        after_loss: windows that may have begun before the first event are not whole: their head was lost with the state.
    """

    whole_from_ms: int | None = None
    alerts_from_ms: int | None = None
    revision_base: int = 0
    after_loss: bool = False


@dataclass(frozen=True, slots=True)
class CoreConfig:
    """Everything the core of one task needs.

    Attributes:
        native: use the compiled part where it was built; the results are the same.
    """

    windows: WindowConfig = field(default_factory=WindowConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    limits: Limits = field(default_factory=Limits)
    dedup: bool = True
    repartition: Literal["mismatch", "always"] = "mismatch"
    native: bool = True

    @property
    def event_rules(self) -> EventRules:
        """What makes a record of the input valid."""
        limits = self.limits
        return EventRules(
            limits.max_record_bytes,
            limits.max_labels,
            limits.max_label_key_chars,
            limits.max_label_value_chars,
            self.windows.min_timestamp_ms,
        )
