"""For how long a task has seen no record, measured on a clock that never jumps, a restart included."""

from topology.runtime.clock import SteadyClock


class Silence:
    """The silence of one task's sources.

    Attributes:
        last_record_ms: wall clock at the newest record; None when there never was one.
        stream_at_last_record_ms: stream time then.
    """

    def __init__(self, clock: SteadyClock) -> None:
        self._clock = clock
        self._since_s = clock.elapsed_s()
        self.last_record_ms: int | None = None
        self.stream_at_last_record_ms: int | None = None

    def restore(self, last_record_ms: int | None, stream_ms: int | None) -> None:
        """Go on with the silence of whoever processed the last record, in this process or another.

        Args:
            last_record_ms: wall clock at the newest record; None counts from now.
            stream_ms: stream time then.
        """
        before_ms = 0 if last_record_ms is None else max(self._clock.now_ms() - last_record_ms, 0)
        self._since_s = self._clock.elapsed_s() - before_ms / 1000
        self.last_record_ms = last_record_ms
        self.stream_at_last_record_ms = stream_ms

    def broken(self, stream_ms: int | None) -> None:
        """A record was processed; stream time is now `stream_ms`."""
        self._since_s = self._clock.elapsed_s()
        self.last_record_ms = self._clock.now_ms()
        self.stream_at_last_record_ms = stream_ms

    def for_ms(self, asked_s: float | None = None) -> int:
        """How long no record came, up to now or up to `asked_s` of the clock's `elapsed_s`."""
        until_s = self._clock.elapsed_s() if asked_s is None else asked_s
        return int((until_s - self._since_s) * 1000)

    def stream_ms(self, asked_s: float) -> int | None:
        """Where stream time would be had it followed the clock since the newest record; None before the first event."""
        if self.stream_at_last_record_ms is None:
            return None
        return self.stream_at_last_record_ms + self.for_ms(asked_s)
