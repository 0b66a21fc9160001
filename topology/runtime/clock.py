"""The wall clock of a worker, steadied: a step of the system's clock does not move it at once.

Windows depend on the wall clock in two places: an event must not lie too far ahead of it, and silence moves stream time up to it.
A clock that jumps for some seconds and comes back (a bad time server, a restored virtual machine) would change windows
for ever. So this clock runs on the monotonic clock from where it started, follows small corrections, and takes a step over only
when the system's clock has stood by it for `ADOPT_AFTER_S`.
"""

import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

# Time servers slew or step by less than this in normal operation.
FOLLOWED_STEP_MS = 1_000
# Long enough that a mistake was noticed and put right, short enough that a true correction is taken over soon.
ADOPT_AFTER_S = 60.0


def monotonic_s() -> float:
    """Seconds that only rise, the time a machine was suspended included where the system tells it."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def system_wall_ms() -> int:
    """The system's wall clock, epoch ms, as it stands."""
    return time.time_ns() // 1_000_000


class SteadyClock:
    """The worker's wall clock. `look` has to be called about twice a second; `now_ms` may be called at any time.

    Guarantee: while the system's clock is off for less than `ADOPT_AFTER_S`, `now_ms` is right to `FOLLOWED_STEP_MS`.
    """

    def __init__(
        self, wall_ms: Callable[[], int] = system_wall_ms, elapsed_s: Callable[[], float] = monotonic_s
    ) -> None:
        self._wall_ms = wall_ms
        self._elapsed_s = elapsed_s
        self._began_s = elapsed_s()
        self._base_ms = wall_ms()
        self._step_ms: int | None = None
        self._step_since_s = 0.0

    def now_ms(self) -> int:
        """The wall clock, epoch ms."""
        return self._base_ms + int((self._elapsed_s() - self._began_s) * 1000)

    def elapsed_s(self) -> float:
        """Seconds since some moment; they never jump."""
        return self._elapsed_s()

    @property
    def stepped_ms(self) -> int:
        """How far the system's clock has jumped ahead (or back, negative) of this one; 0 as long as both agree."""
        return self._step_ms or 0

    def look(self) -> None:
        """Compare with the system's clock: follow a small difference, take a large one over when it has lasted."""
        ahead_ms = self._wall_ms() - self.now_ms()
        if abs(ahead_ms) <= FOLLOWED_STEP_MS:
            if self._step_ms is not None:
                log.info("the system's clock is back", was_off_by_ms=self._step_ms)
                self._step_ms = None
            self._base_ms += ahead_ms
        elif self._step_ms is None or abs(ahead_ms - self._step_ms) > FOLLOWED_STEP_MS:
            self._step_ms, self._step_since_s = ahead_ms, self._elapsed_s()
            log.warning(
                "the system's clock has jumped; windows go on by the clock as it was",
                by_ms=ahead_ms,
                taken_over_after_seconds=ADOPT_AFTER_S,
            )
        elif self._elapsed_s() - self._step_since_s >= ADOPT_AFTER_S:
            log.warning("the system's clock has stood by its jump and is followed now", by_ms=ahead_ms)
            self._base_ms += ahead_ms
            self._step_ms = None
