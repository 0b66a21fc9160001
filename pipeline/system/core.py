"""The core of the system task: partials and reports of all partitions in, system records and system alerts out.

A window is `provisional` until stream time of the system (`progress.py`) passes its end + grace, then its `final` record goes
out; while any partition with a stream time of its own may still send corrections, each change goes out as `corrected`;
then the window is dropped. A window that is not whole in every partition is kept and never published.
"""

import dataclasses
from collections.abc import Sequence

from msgspec.structs import replace

from pipeline.alerts.machine import AlertMachine
from pipeline.alerts.rules import Rule
from pipeline.alerts.ticker import AlertTicker
from pipeline.config import CoreConfig, Start
from pipeline.ingest.batch import RecordBatch
from pipeline.outputs import Cut, Emitted, Outbox, StateRecord
from pipeline.publish.keys import system_window
from pipeline.publish.render import WindowText, encode
from pipeline.system.homes import ModuleHomes
from pipeline.system.merge import aggregate
from pipeline.system.parts import SystemParts
from pipeline.system.progress import Progress
from pipeline.system.restore import restore_system
from pipeline.system.since import SystemSince
from pipeline.system.window import SystemWindow
from pipeline.system.windows import SystemWindows
from pipeline.windows.stream_time import StreamTime
from schemas.metrics import AggregatedMetrics, Completeness, WindowStatus
from schemas.partials import ModulesSeen, PartitionReport, SystemPartial, decode_partial, partial_key
from schemas.state import Ledger, ShellPosition, StartPosition


class SystemCore:
    """System windows and system alerts, from the partials of all partitions.

    Guarantee: final records and alerts depend on the records and their order only, not on how they come in batches, when cuts
    are made, or where the run was stopped and restored. The last record of a window (but for `revision`, `last_updated` and
    `status`) does not depend on how the records of different partitions interleave either, unless the window was dropped.

    Attributes:
        offsets: next offset to read, per source. ledgers: where the records of each source went.
        alerts: the rules of scope `system`.
        dropped_open: windows dropped before their time because more than `limits.max_open_windows` were open.
        ignored_partials: partials that came for windows dropped before, or for sizes that are not configured.
        homes: which partition each module lives in.
        removed_ms: sizes of the state whose windows the newest restore dropped, because they are not configured any more.
    """

    def __init__(self, config: CoreConfig, rules: Sequence[Rule] = (), *, start: Start | None = None) -> None:
        self.config = config
        self.alerts = AlertMachine(rules, "system")
        self.offsets: dict[str, int] = {}
        self.ledgers: dict[str, Ledger] = {}
        self.dropped_open = 0
        self.ignored_partials = 0
        self.removed_ms: tuple[int, ...] = ()
        self._time = StreamTime(config.windows)
        self._ticker = AlertTicker(self.alerts, config.windows)
        self._progress = Progress([size for _, size in config.windows.sizes], config.windows.grace_ms)
        self.homes = ModuleHomes()
        self._windows = SystemWindows(config.windows)
        self._since = SystemSince(config.health.default, self._is_whole)
        self._outbox = Outbox()
        self._changes: dict[bytes, bytes | None] = {}
        self.shell = ShellPosition()
        self._heard_ms: int | None = None
        self._last_larger_ms: int | None = None
        self._applied_since_cut = False
        self._partials_since_cut = False
        self._larger_owed = False
        self._unsettled = False
        self._start = StartPosition()
        if start is not None:
            self._begin(StartPosition(**dataclasses.asdict(start)))

    def _begin(self, start: StartPosition) -> None:
        self._start = start
        self.alerts.revision_base = start.revision_base
        self._ticker.alerts_from_ms = start.alerts_from_ms

    @property
    def stream_ms(self) -> int | None:
        """Stream time of the system; never goes back."""
        return self._time.stream_ms

    @property
    def heard_ms(self) -> int | None:
        """The wall clock at the newest batch."""
        return self._heard_ms

    @property
    def buffered_bytes(self) -> int:
        """Outputs waiting for the next cut."""
        return self._outbox.size_bytes

    @property
    def open_windows(self) -> int:
        """How many windows can still change."""
        return len(self._windows)

    @property
    def idle(self) -> bool:
        """Never: stream time comes from the partitions' reports, which follow the wall clock where that is right."""
        return False

    @property
    def owes(self) -> bool:
        """Whether a cut would write anything."""
        return self._applied_since_cut or self._larger_owed or bool(self._outbox.emitted)

    def idle_until(self, to_ms: int, now_ms: int) -> None:
        """Silence means nothing here, see `idle`."""

    def apply(self, batch: RecordBatch, now_ms: int) -> None:
        """Take in partials and reports, in offset order; every one counts as applied.

        Raises:
            StateIncompatible: a record is neither, of another version, or damaged. Only our own tasks write here.
        """
        if not len(batch):
            return
        self._settle(now_ms)
        ledger = self.ledgers.setdefault(batch.topic, Ledger())
        for offset, value in zip(batch.offsets, batch.values, strict=True):
            record = decode_partial(value or b"", f"{batch.topic}-{batch.partition} at offset {offset}")
            if isinstance(record, PartitionReport):
                self._changes[partial_key(record)] = value
                self._progress.note(record)
                self._advance(now_ms)
            elif isinstance(record, ModulesSeen):
                self._changes[partial_key(record)] = value
                self.homes.note(record)
            else:
                self._take(record, value, now_ms)
        ledger.consumed += len(batch)
        ledger.applied += len(batch)
        self.offsets[batch.topic] = batch.offsets[-1] + 1
        self._heard_ms = now_ms
        self._applied_since_cut = True

    def _settle(self, now_ms: int) -> None:
        """Do what this run's settings make due at the stream time that was restored."""
        if self._unsettled:
            self._unsettled = False
            self._close(now_ms)
            self._drop_over(now_ms)

    def _is_whole(self, window: SystemWindow) -> bool:
        from_ms = self._start.whole_from_ms
        begun = from_ms is None or window.start_ms >= from_ms
        return begun and not self._start.after_loss and self._progress.is_whole(window.size_ms, window.start_ms)

    def _take(self, partial: SystemPartial, value: bytes | None, now_ms: int) -> None:
        self._partials_since_cut = True
        window = self._windows.get(partial.size_ms, partial.start_ms)
        if window is None:
            end_ms = partial.start_ms + partial.size_ms
            if not self._windows.has_size(partial.size_ms) or self._windows.is_over(end_ms):
                self.ignored_partials += 1
                return
            if not partial.speaks:
                return
            window = self._windows.open(partial.size_ms, partial.start_ms)
            window.final = end_ms <= self._time.closed_ms
        window.take(partial)
        self._changes[partial_key(partial)] = value if partial.speaks else None
        while len(self._windows) > self.config.limits.max_open_windows:
            self.dropped_open += 1
            self._drop(self._windows.oldest(), now_ms)

    def _advance(self, now_ms: int) -> None:
        """Close and drop what is due after a report, oldest first."""
        stream_ms = self._progress.stream_ms()
        if stream_ms is not None and (self.stream_ms is None or stream_ms > self.stream_ms):
            if self._start.after_loss:
                # Partials of windows that had begun came before the loss, and do not come again.
                begun_ms = self._progress.newest_ms(stream_ms) + self.config.windows.grace_ms
                whole_from_ms = max(begun_ms, self._start.whole_from_ms or begun_ms)
                self._start = replace(self._start, whole_from_ms=whole_from_ms, after_loss=False)
            self._time.stream_ms = stream_ms
            self._close(now_ms)
        self._drop_over(now_ms)

    def _close(self, now_ms: int) -> None:
        closed_ms = self._time.closed_ms
        for window in self._windows.ended(closed_ms):
            if not window.final:
                window.final = True
                if window.partials and self._is_whole(window):
                    record = self._emit(window, "final", now_ms)
                    self._publish(self._ticker.tick(window.size_ms, window.end_ms, [record], now_ms))
        self._publish(self._ticker.end_ticks(closed_ms, now_ms))

    def _drop_over(self, now_ms: int) -> None:
        slowest_ms = self._progress.slowest_ms()
        if slowest_ms is not None:
            over_ms = slowest_ms - self._time.keep_ms
            for window in self._windows.ended(over_ms):
                self._drop(window, now_ms)
            self._windows.raise_floor(over_ms)

    def _drop(self, window: SystemWindow, now_ms: int) -> None:
        """Publish what a window still owes and forget it."""
        if window.partials and self._is_whole(window):
            since_ms = self._since_of(window)
            if window.owed or (window.revision and window.said_since_ms != since_ms):
                self._emit(window, "corrected" if window.final else "provisional", now_ms)
            self._since.note_dropped(window, since_ms)
        self._windows.drop(window)
        self._changes.update(dict.fromkeys(window.keys()))

    def _since_of(self, window: SystemWindow) -> int | None:
        found = self._since.classes_of(self._windows.of_size(window.size_ms))
        return next(known.since_ms for other, known in found if other is window)

    def _emit(self, window: SystemWindow, status: WindowStatus, now_ms: int) -> AggregatedMetrics:
        window.revision = max(window.revision, self._start.revision_base) + 1
        window.owed = False
        window.said = self._completeness(window)
        window.said_since_ms = self._since_of(window)
        text = WindowText(window.name, window.start_ms, window.size_ms, status, now_ms)
        health = window.health(self.config.health.default)
        record = aggregate(window.in_order(), text, window.revision, window.said, health, window.said_since_ms)
        key = system_window(window.name, window.start_ms)
        self._outbox.emit(Emitted("system_metrics", key, encode(record), record.revision, record.last_updated))
        return record

    def _publish(self, alerts: list[Emitted]) -> None:
        for alert in alerts:
            self._outbox.emit(alert)

    def _completeness(self, window: SystemWindow) -> Completeness:
        expected = max(self._progress.expected, max(window.partials, default=-1) + 1)
        return Completeness(expected, self._progress.seen(window.end_ms, window.partials))

    def cut(self, now_ms: int, *, everything: bool = False) -> Cut:
        """Collect everything to be written since the last cut.

        Changed records of larger windows go out at most every `emit_interval_ms`, at once when no partial came in since the
        last cut, and with `everything`; those of the smallest size always.
        """
        self._settle(now_ms)
        self._refresh(now_ms, everything)
        for window in self._windows:
            self._changes.update(window.drain())
        records = [StateRecord(key, self._changes[key]) for key in sorted(self._changes)]
        records += [StateRecord(key, value) for key, value in self.alerts.drain_state()]
        self._changes = {}
        outbox, self._outbox = self._outbox, Outbox()
        return Cut(outbox, [], records, self._parts().position())

    def _refresh(self, now_ms: int, everything: bool) -> None:
        if self.stream_ms is not None and not self._progress.all_reported():
            # Partitions were added, and some still speak for modules that live elsewhere now: requests would count twice, or not.
            return
        last_ms, interval_ms = self._last_larger_ms, self.config.windows.emit_interval_ms
        waiting = last_ms is not None and 0 <= now_ms - last_ms < interval_ms
        due = everything or not self._partials_since_cut or not waiting
        self._larger_owed = False
        for _, size_ms in self.config.windows.sizes:
            for window, known in self._since.classes_of(self._windows.of_size(size_ms)):
                if not self._is_outdated(window, known.since_ms):
                    continue
                if window.level == 0 or due:
                    self._emit(window, "corrected" if window.final else "provisional", now_ms)
                    self._last_larger_ms = now_ms if window.level else self._last_larger_ms
                else:
                    window.owed = self._larger_owed = True
        self._applied_since_cut = self._partials_since_cut = False

    def _is_outdated(self, window: SystemWindow, since_ms: int | None) -> bool:
        if window.owed or (window.revision > 0 and window.said_since_ms != since_ms):
            return True
        return self._applied_since_cut and self._completeness(window) != window.said

    def _parts(self) -> SystemParts:
        return SystemParts(
            config=self.config,
            time=self._time,
            ticker=self._ticker,
            alerts=self.alerts,
            progress=self._progress,
            homes=self.homes,
            windows=self._windows,
            since=self._since,
            changes=self._changes,
            ledgers={topic: replace(ledger) for topic, ledger in self.ledgers.items()},
            offsets=dict(self.offsets),
            dropped_open=self.dropped_open,
            ignored_partials=self.ignored_partials,
            last_larger_ms=self._last_larger_ms,
            start=self._start,
            shell=self.shell,
        )

    def restore(self, state: dict[bytes, bytes]) -> None:
        """Take the whole state back in; see `TaskCore.restore`.

        Settings may differ from those of the run that wrote the state, window sizes too.

        Raises:
            StateIncompatible: a record does not fit this build or this configuration, or is damaged.
        """
        if not state:
            return
        parts = self._parts()
        self.removed_ms = restore_system(parts, state)
        self.ledgers, self.offsets, self.shell = parts.ledgers, parts.offsets, parts.shell
        self.dropped_open, self.ignored_partials = parts.dropped_open, parts.ignored_partials
        self._last_larger_ms = parts.last_larger_ms
        self._begin(parts.start)
        self.alerts.revision_base = parts.alert_revisions
        self._larger_owed = any(window.owed for window in self._windows)
        self._unsettled = True
