"""The core of the system task: partials and reports of all partitions in, system records and system alerts out.

A window is `provisional` until stream time of the system (`progress.py`) passes its end + grace, then its `final` record goes
out; while any partition with a stream time of its own may still send corrections, each change goes out as `corrected`;
then the window is dropped.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from pipeline.alerts.machine import AlertMachine
from pipeline.alerts.rules import Rule
from pipeline.alerts.ticker import AlertTicker
from pipeline.config import CoreConfig
from pipeline.ingest.batch import RecordBatch
from pipeline.keys import system_window
from pipeline.outputs import Cut, Emitted, Outbox, StateRecord
from pipeline.render import WindowText, encode
from pipeline.sketch.mapping import ALPHA
from pipeline.system.changelog import PARTITIONS, check_system_position, decode_record, decode_window_state
from pipeline.system.homes import ModuleHomes
from pipeline.system.merge import aggregate
from pipeline.system.progress import Progress
from pipeline.system.window import SystemWindow
from pipeline.system.windows import SystemWindows
from schemas.errors import StateIncompatible
from schemas.metrics import AggregatedMetrics, Completeness, WindowStatus
from schemas.partials import ModulesSeen, PartitionReport, SystemPartial, partial_key
from schemas.state import POSITION_KEY, Ledger, Position, ShellPosition, SystemPosition, unpack_position


class SystemCore:
    """System windows and system alerts, from the partials of all partitions.

    Guarantee: final records and alerts depend on the records and their order only, not on how they come in batches, when cuts
    are made, or where the run was stopped and restored. The last record of a window (but for `revision`, `last_updated` and
    `status`) does not depend on how the records of different partitions interleave either, unless the window was dropped.

    Attributes:
        offsets: next offset to read, per source. ledgers: where the records of each source went.
        stream_ms: stream time of the system; never goes back.
        alerts: the rules of scope `system`.
        dropped_open: windows dropped before their time because more than `limits.max_open_windows` were open.
        ignored_partials: partials that came for windows dropped before.
        homes: which partition each module lives in.
    """

    def __init__(self, config: CoreConfig, rules: Sequence[Rule] = ()) -> None:
        self.config = config
        self.alerts = AlertMachine(rules, "system")
        self.offsets: dict[str, int] = {}
        self.ledgers: dict[str, Ledger] = {}
        self.stream_ms: int | None = None
        self.dropped_open = 0
        self.ignored_partials = 0
        self._ticker = AlertTicker(self.alerts, config.windows)
        self._progress = Progress()
        self.homes = ModuleHomes()
        self._windows = SystemWindows(config.windows)
        self._outbox = Outbox()
        self._changes: dict[bytes, bytes | None] = {}
        self.shell = ShellPosition()
        self._last_larger_ms: int | None = None
        self._applied_since_cut = False
        self._partials_since_cut = False
        self._larger_owed = False

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
            StateIncompatible: a record is neither, or of another version or configuration. Only our own tasks write here.
        """
        if not len(batch):
            return
        ledger = self.ledgers.setdefault(batch.topic, Ledger())
        for offset, value in zip(batch.offsets, batch.values, strict=True):
            record = decode_record(value, f"{batch.topic}-{batch.partition} at offset {offset}")
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
        self._applied_since_cut = True

    def _take(self, partial: SystemPartial, value: bytes | None, now_ms: int) -> None:
        self._partials_since_cut = True
        end_ms = partial.start_ms + partial.size_ms
        window = self._windows.get(partial.size_ms, partial.start_ms)
        if window is None:
            if self._windows.is_over(end_ms):
                self.ignored_partials += 1
                return
            window = self._windows.open(partial.size_ms, partial.start_ms)
            window.final = self.stream_ms is not None and end_ms + self.config.windows.grace_ms <= self.stream_ms
        window.take(partial)
        self._changes[partial_key(partial)] = value
        while len(self._windows) > self.config.limits.max_open_windows:
            self.dropped_open += 1
            self._drop(self._windows.oldest(), now_ms)

    def _advance(self, now_ms: int) -> None:
        """Close and drop what is due after a report, oldest first."""
        windows = self.config.windows
        stream_ms = self._progress.stream_ms()
        if stream_ms is not None and (self.stream_ms is None or stream_ms > self.stream_ms):
            self.stream_ms = stream_ms
            for window in self._windows.ended(stream_ms - windows.grace_ms):
                if not window.final:
                    window.final = True
                    record = self._emit(window, "final", now_ms)
                    self._publish(self._ticker.tick(window.name, window.end_ms, window.size_ms, [record], now_ms))
            self._publish(self._ticker.end_ticks(stream_ms, now_ms))
        slowest_ms = self._progress.slowest_ms()
        if slowest_ms is not None:
            over_ms = slowest_ms - windows.grace_ms - windows.corrections_ms
            for window in self._windows.ended(over_ms):
                self._drop(window, now_ms)
            self._windows.raise_floor(over_ms)

    def _drop(self, window: SystemWindow, now_ms: int) -> None:
        """Publish what a window still owes and forget it."""
        if window.owed:
            self._emit(window, "corrected" if window.final else "provisional", now_ms)
        self._windows.drop(window)
        self._changes.update(dict.fromkeys(window.keys()))

    def _emit(self, window: SystemWindow, status: WindowStatus, now_ms: int) -> AggregatedMetrics:
        window.revision += 1
        window.owed = False
        window.said = self._completeness(window)
        text = WindowText(window.name, window.start_ms, window.size_ms, status, now_ms)
        profile = self.config.health.default
        record = aggregate(window.in_order(), text, window.revision, window.said, profile)
        key = system_window(window.name, window.start_ms)
        self._outbox.emit(Emitted("system_metrics", key, encode(record), record.revision, window.end_ms))
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
        self._refresh(now_ms, everything)
        for window in self._windows:
            self._changes.update(window.drain())
        records = [StateRecord(key, self._changes[key]) for key in sorted(self._changes)]
        records += [StateRecord(key, value) for key, value in self.alerts.drain_state()]
        self._changes = {}
        outbox, self._outbox = self._outbox, Outbox()
        return Cut(outbox, [], records, self._position())

    def _refresh(self, now_ms: int, everything: bool) -> None:
        last_ms, interval_ms = self._last_larger_ms, self.config.windows.emit_interval_ms
        waiting = last_ms is not None and 0 <= now_ms - last_ms < interval_ms
        due = everything or not self._partials_since_cut or not waiting
        self._larger_owed = False
        for window in self._windows.by_size():
            if not window.owed and (not self._applied_since_cut or self._completeness(window) == window.said):
                continue
            if window.level == 0 or due:
                self._emit(window, "corrected" if window.final else "provisional", now_ms)
                self._last_larger_ms = now_ms if window.level else self._last_larger_ms
            else:
                window.owed = self._larger_owed = True
        self._applied_since_cut = self._partials_since_cut = False

    def _position(self) -> Position:
        return Position(
            sizes=dict(self.config.windows.sizes),
            relative_error=ALPHA,
            partitions=PARTITIONS,
            offsets=dict(self.offsets),
            stream_ms=self.stream_ms,
            ledger={topic: replace(ledger) for topic, ledger in self.ledgers.items()},
            ticks=dict(self._ticker.ticks),
            shell=self.shell,
            system=SystemPosition(
                floor_ms=self._windows.floor_ms,
                dropped_open=self.dropped_open,
                ignored_partials=self.ignored_partials,
                last_larger_ms=self._last_larger_ms,
            ),
        )

    def restore(self, state: dict[bytes, bytes]) -> None:
        """Take the whole state back in; see `TaskCore.restore`.

        Raises:
            StateIncompatible: a record does not fit this build or this configuration, or is damaged.
        """
        if POSITION_KEY in state:
            self._restore_position(unpack_position(state.pop(POSITION_KEY)))
        while state:
            self._restore(*state.popitem())
        self._larger_owed = any(window.owed for window in self._windows)

    def _restore(self, key: bytes, value: bytes) -> None:
        kind, _, rest = key.partition(b"|")
        if kind in (b"partial", b"report", b"seen"):
            record = decode_record(value, f"the changelog record {key!r}")
            if isinstance(record, PartitionReport):
                self._progress.note(record)
            elif isinstance(record, ModulesSeen):
                self.homes.note(record)
            else:
                window = self._windows.open(record.size_ms, record.start_ms)
                window.partials[record.partition] = record
        elif kind == b"window":
            size_ms, start_ms = map(int, rest.split(b"|"))
            self._windows.open(size_ms, start_ms).restore(decode_window_state(key, value), value)
        elif kind == b"alert":
            self.alerts.restore(key, value)
        else:
            raise StateIncompatible(f"the changelog holds a record this build does not know: {key[:60]!r}")

    def _restore_position(self, position: Position) -> None:
        check_system_position(self.config, position)
        self.offsets = dict(position.offsets)
        self.ledgers = dict(position.ledger)
        self.stream_ms = position.stream_ms
        self._ticker.ticks = dict(position.ticks)
        self.shell = position.shell
        if position.system is not None:
            self.dropped_open = position.system.dropped_open
            self.ignored_partials = position.system.ignored_partials
            self._windows.floor_ms = position.system.floor_ms
            self._last_larger_ms = position.system.last_larger_ms
