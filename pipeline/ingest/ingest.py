"""From a raw batch to columns of accepted events; everything else is rejected or forwarded, each exactly once."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from pipeline.arrays import F8, I8
from pipeline.columns import Columns, join_columns
from pipeline.config import CoreConfig
from pipeline.ingest.batch import RecordBatch
from pipeline.ingest.decode import decode_batch, good_indices
from pipeline.ingest.hop import Place, first_place, first_timestamp, original_key, own_headers, trace
from pipeline.ingest.packed import offset_of, offsets_at, pack, weave
from pipeline.ingest.plain import PlainReader, PlainScanner, surely_in_time
from pipeline.modules.homes import Homes
from pipeline.modules.identifiers import hash_module, hash_module_version_1, hash_texts, mix_ids
from pipeline.modules.registry import OTHER, OTHER_CODE, OTHER_KEY, Modules
from pipeline.native import PLAIN
from pipeline.outputs import Forwarded, Outbox, Rejected
from schemas.errors import PoisonRecord
from schemas.events import MAX_GAUGE, ModuleLogEvent
from schemas.state import Ledger
from schemas.valid.rules import FIRST_MICROSECOND, EventRules, event_time, id_fault, label_fault

# Events in order, and why each of the other records is none.
Decoded = tuple[list[ModuleLogEvent], list[tuple[int, PoisonRecord]]]
_gauges = (attrgetter("memory_bytes"), attrgetter("goroutines"), attrgetter("db_connections"))


@dataclass(slots=True)
class _Rows:
    """The records still in the race: index in the batch, event and module code, same length."""

    indices: Sequence[int]
    events: list[ModuleLogEvent]
    codes: list[int | None]


class Ingest:
    """Decodes and validates batches of one task.

    Attributes:
        native: the compiled part, where it was built and is in use.
        one_by_one: records that it left over.
        homes_checked: send events of unknown modules to the partition that their id belongs to. Modules that are known here may
            have come from elsewhere when partitions were added, and stay.
        newcomers: codes of the modules that the newest batch brought.
    """

    def __init__(self, config: CoreConfig, modules: Modules, partition: int, partitions: int) -> None:
        self._config = config
        self._rules = config.event_rules
        self._homes = Homes(partition, partitions)
        self._modules = modules
        self.one_by_one = 0
        self.newcomers: list[int] = []
        self._wants_old_ids = False
        scanner = PlainScanner.of(config)
        self.native = None if scanner is None else scanner.native
        self._plain = None if scanner is None else PlainReader(scanner, config, modules, self._homes)

    @property
    def homes_checked(self) -> bool:
        """Whether events of unknown modules are sent to the partition that their id belongs to."""
        return self._homes.checked

    @homes_checked.setter
    def homes_checked(self, checked: bool) -> None:
        self._homes.checked = checked

    @property
    def wants_old_ids(self) -> bool:
        """Whether columns also hold the hashes that version 1 made of event ids."""
        return self._wants_old_ids

    @wants_old_ids.setter
    def wants_old_ids(self, wanted: bool) -> None:
        self._wants_old_ids = wanted
        if self._plain is not None:
            self._plain.wants_old_ids = wanted

    def times(self, batch: RecordBatch, now_ms: int) -> tuple[I8, RecordBatch, Decoded | None]:
        """The event time of each record, -1 where the record is no event or one from the future; decides nothing.

        Returns:
            The times, and the batch with what was read of it, for `columns`.
        """
        times = np.full(len(batch), -1, np.int64)
        decoded: Decoded | None = None
        if batch.whole:
            return times, batch, decoded
        if self._plain is None:
            decoded = decode_batch(batch, self._rules)
            _fill_times(times, range(len(batch)), decoded, self._rules)
        else:
            found = self._plain.scan(batch)
            batch = replace(batch, plain=found)
            plain = ((found.flags & PLAIN) != 0) & surely_in_time(found.times, self._rules)
            times[plain] = found.times[plain]
            rest = np.flatnonzero(~plain).tolist()
            if rest:
                _fill_times(times, rest, decode_batch(batch.pick(rest), self._rules), self._rules)
        times[times > now_ms + self._config.windows.max_future_ms] = -1
        return times, batch, decoded

    def columns(
        self, batch: RecordBatch, now_ms: int, ledger: Ledger, outbox: Outbox, decoded: Decoded | None = None
    ) -> Columns | None:
        """Turn a batch into columns; rejected and forwarded records go to the outbox and the ledger.

        Args:
            batch: raw records in offset order.
            now_ms: the wall clock, for events from the future.
            ledger: of the batch's source; `consumed`, `invalid`, `future` and `forwarded` are added to here.
            outbox: where rejected and forwarded records go.
            decoded: what `times` decoded of this batch.

        Returns:
            Columns, in offset order, or None when no event is left.
        """
        if batch.whole:
            _set_aside(batch, ledger, outbox)
            return None
        ledger.consumed += len(batch)
        self.newcomers = []
        plain = None if self._plain is None else self._plain.columns(batch, now_ms)
        if plain is None:
            return self._read_one_by_one(batch, now_ms, ledger, outbox, decoded)
        self.one_by_one += plain.rest.size
        before, rest = len(outbox.forwarded), None
        if plain.rest.size:
            rest = self._read_one_by_one(batch.pick(plain.rest.tolist()), now_ms, ledger, outbox)
        if plain.sent_on.size:
            assert self.native is not None
            packed = pack(self.native, batch, plain.sent_on, OTHER)
            weave(outbox, before, packed, offsets_at(batch, plain.sent_on))
            ledger.forwarded += len(packed)
        return join_columns([part for part in (plain.columns, rest) if part is not None])

    def _read_one_by_one(
        self, batch: RecordBatch, now_ms: int, ledger: Ledger, outbox: Outbox, decoded: Decoded | None = None
    ) -> Columns | None:
        """An object for each event: the definition of what is right, and the only way of reading what is not plain."""
        events, bad = decoded or decode_batch(batch, self._rules)
        indices = good_indices(len(batch), bad)
        rejects: list[tuple[int, PoisonRecord]] = bad
        codes = list(map(self._modules.codes.get, map(attrgetter("module_id"), events)))
        rows = _Rows(indices, events, codes)
        if batch.forwarded and OTHER_KEY in batch.keys and not self._homes.elsewhere(OTHER):
            # These were over another partition's limit; here they stay what they were made there. Where partitions were added
            # since, they are judged again at the home of their module.
            rows.codes = [
                OTHER_CODE if batch.keys[index] == OTHER_KEY else code
                for index, code in zip(rows.indices, rows.codes, strict=True)
            ]
            codes = rows.codes
        if None in codes:
            self._refuse_ids(rows, rejects)
        self._check_labels(rows, rejects)
        before = len(outbox.forwarded)
        foreign = forwarded = self._forward_foreign(batch, rows, outbox)
        times = self._times(rows, rejects)
        limit = now_ms + self._config.windows.max_future_ms
        if times.size and int(times.max()) > limit:
            times = self._drop_future(rows, times, limit, rejects)
        if None in rows.codes:
            here = self._register(batch, rows, outbox)
            forwarded += len(times) - len(here)
            times = times[here]
            if 0 < foreign < forwarded:  # those of one module may be of both kinds
                outbox.forwarded[before:] = sorted(outbox.forwarded[before:], key=offset_of)
        if OTHER_CODE in rows.codes:
            self._modules.overflowed += rows.codes.count(OTHER_CODE)
        rejects.sort(key=lambda reject: reject[0])
        for index, why in rejects:
            outbox.reject(rejected(batch, index, why))
            if why.reason == "future_timestamp":
                ledger.future += 1
            else:
                ledger.invalid += 1
        ledger.forwarded += forwarded
        return self._collect(batch, rows, times) if rows.events else None

    def _refuse_ids(self, rows: _Rows, rejects: list[tuple[int, PoisonRecord]]) -> None:
        """Refuse ids nobody should have to read; only those of modules not known yet are looked at."""
        unknown = {event.module_id for event, code in zip(rows.events, rows.codes, strict=True) if code is None}
        faults = {module_id: fault for module_id in unknown if (fault := id_fault(module_id)) is not None}
        if not faults:
            return
        keep: list[int] = []
        for row, event in enumerate(rows.events):
            fault = faults.get(event.module_id)
            if fault is None:
                keep.append(row)
            else:
                rejects.append((rows.indices[row], PoisonRecord("invalid", fault)))
        _keep(rows, keep)

    def _register(self, batch: RecordBatch, rows: _Rows, outbox: Outbox) -> list[int]:
        """Give new modules a code; what is over the limit goes to the one owner of `__other__`.

        Returns:
            The rows that stay here.
        """
        modules = self._modules
        keep: list[int] = []
        for row, code in enumerate(rows.codes):
            if code is None:
                module_id = rows.events[row].module_id
                known = modules.codes.get(module_id)
                if known is None and self._homes.elsewhere(module_id):
                    self._send_on(batch, rows, row, module_id, outbox)
                    continue
                if known is None:
                    known = modules.add(module_id)
                    self.newcomers += [known] * (known != OTHER_CODE)
                rows.codes[row] = known
                if known == OTHER_CODE and self._homes.other_elsewhere:
                    self._send_on(batch, rows, row, OTHER, outbox)
                    continue
            keep.append(row)
        _keep(rows, keep)
        return keep

    def _send_on(self, batch: RecordBatch, rows: _Rows, row: int, home: str, outbox: Outbox) -> None:
        index = rows.indices[row]
        headers, stamp, key = batch.headers[index], batch.timestamps[index], batch.keys[index]
        place = Place(batch.topic, batch.partition, batch.offsets[index])
        if batch.forwarded:  # it moves on: what is said of its first hop stays true
            place = first_place(headers) or place
            stamp, key = first_timestamp(headers, stamp), original_key(headers, key)
            headers = tuple(own_headers(headers))
        outbox.forward(Forwarded(home, batch.values[index] or b"", stamp, (*headers, *trace(*place, stamp, key, home))))

    def _check_labels(self, rows: _Rows, rejects: list[tuple[int, PoisonRecord]]) -> None:
        labels = [event.labels for event in rows.events]
        if not any(labels):
            return
        keep: list[int] = []
        for row, mapping in enumerate(labels):
            fault = label_fault(mapping, self._rules) if mapping else None
            if fault is None:
                keep.append(row)
            else:
                rejects.append((rows.indices[row], PoisonRecord("invalid", fault)))
        _keep(rows, keep)

    def _forward_foreign(self, batch: RecordBatch, rows: _Rows, outbox: Outbox) -> int:
        """Send on what does not carry its module id as its key (with `repartition = always`: all); returns how many."""
        if batch.forwarded or not rows.events:
            return 0
        always = self._config.repartition == "always"
        keys = batch.keys if len(rows.indices) == len(batch) else [batch.keys[index] for index in rows.indices]
        codes = rows.codes
        if not always and None not in codes and list(map(self._modules.keys.get, keys)) == codes:
            return 0
        keep: list[int] = []
        for row, (key, event) in enumerate(zip(keys, rows.events, strict=True)):
            if not always and key == event.module_id.encode():
                keep.append(row)
            else:
                self._send_on(batch, rows, row, event.module_id, outbox)
        forwarded = len(rows.events) - len(keep)
        _keep(rows, keep)
        return forwarded

    def _times(self, rows: _Rows, rejects: list[tuple[int, PoisonRecord]]) -> I8:
        stamps = [event.timestamp for event in rows.events]
        if str not in set(map(type, stamps)):
            numbers = np.fromiter(stamps, np.int64, len(stamps))
            if ((numbers >= self._rules.min_timestamp_ms) & (numbers < FIRST_MICROSECOND)).all():
                return numbers
        times: list[int] = []
        keep: list[int] = []
        for row, stamp in enumerate(stamps):
            try:
                times.append(event_time(stamp, self._rules))
            except PoisonRecord as error:
                rejects.append((rows.indices[row], error))
            else:
                keep.append(row)
        _keep(rows, keep)
        return np.array(times, np.int64)

    def _drop_future(self, rows: _Rows, times: I8, limit: int, rejects: list[tuple[int, PoisonRecord]]) -> I8:
        ahead = times > limit
        for row in np.flatnonzero(ahead).tolist():
            text = f"timestamp {int(times[row])} is more than windows.max_future = "
            text += f"{self._config.windows.max_future_ms} ms ahead of the clock"
            rejects.append((rows.indices[row], PoisonRecord("future_timestamp", text)))
        _keep(rows, np.flatnonzero(~ahead).tolist())
        return times[~ahead]

    def _collect(self, batch: RecordBatch, rows: _Rows, times: I8) -> Columns:
        events, n = rows.events, len(rows.events)
        every = batch.offsets
        offsets = (
            np.arange(every.start, every.stop) if isinstance(every, range) else np.fromiter(every, np.int64, len(batch))
        )
        if n != len(batch):
            offsets = offsets[list(rows.indices)]
        codes = np.array(rows.codes, np.int64)
        ids = has_id = old_ids = None
        if self._config.dedup:
            texts = [event.event_id for event in events]
            if any(texts):
                raw, has_id = hash_texts(texts)
                ids = mix_ids(raw, self._module_hashes(codes, events))
                if self.wants_old_ids:
                    old_ids = mix_ids(raw, np.array([hash_module_version_1(e.module_id) for e in events], np.uint64))
        first, second, third = (_gauge(list(map(get, events))) for get in _gauges)
        return Columns(
            codes=codes,
            times=times,
            offsets=offsets,
            successes=np.fromiter([event.success for event in events], np.bool_, n),
            # -0.0 is a zero like any other: which of the two a minimum keeps would depend on the order of the events.
            response_ms=np.fromiter([event.response_time_ms for event in events], np.float64, n) + 0.0,
            gauges=(first, second, third),
            cpu=_cpu([event.cpu_percent for event in events]),
            ids=ids,
            has_id=has_id,
            old_ids=old_ids,
        )

    def _module_hashes(
        self, codes: I8, events: Sequence[ModuleLogEvent]
    ) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        hashes = self._modules.hashes[codes]
        # Modules without a code of their own still have ids of their own.
        for row in np.flatnonzero(codes == OTHER_CODE).tolist():
            hashes[row] = hash_module(events[row].module_id)
        return hashes


def _set_aside(batch: RecordBatch, ledger: Ledger, outbox: Outbox) -> None:
    """One letter for each entry that stands for a batch; all its records count as invalid."""
    for index, whole in enumerate(batch.whole):
        outbox.reject(
            Rejected(
                whole.reason,
                whole.message,
                batch.topic,
                batch.partition,
                whole.first_offset,
                batch.timestamps[index],
                None,
                batch.values[index],
                (),
                whole,
            )
        )
        ledger.consumed += whole.records
        ledger.invalid += whole.records


def rejected(batch: RecordBatch, index: int, why: PoisonRecord) -> Rejected:
    """The late or dead letter of one record of a batch: the key and the timestamp are those it came in with."""
    headers, stamp, key = batch.headers[index], batch.timestamps[index], batch.keys[index]
    if batch.forwarded:
        stamp, key = first_timestamp(headers, stamp), original_key(headers, key)
    place = (batch.topic, batch.partition, batch.offsets[index])
    return Rejected(why.reason, why.message, *place, stamp, key, batch.values[index], headers)


def decoded_part(decoded: Decoded, low: int, high: int) -> Decoded:
    """What was decoded of the records [low, high)."""
    events, bad = decoded
    first = low - sum(1 for index, _ in bad if index < low)
    mine = [(index - low, why) for index, why in bad if low <= index < high]
    return events[first : first + high - low - len(mine)], mine


def _fill_times(times: I8, rows: Sequence[int], decoded: Decoded, rules: EventRules) -> None:
    """Write down the times of decoded events; `rows` are the places of what was decoded."""
    events, bad = decoded
    for index, event in zip(good_indices(len(rows), bad), events, strict=True):
        with suppress(PoisonRecord):  # the record is refused later, with its reason
            times[rows[index]] = event_time(event.timestamp, rules)


def _keep(rows: _Rows, keep: list[int]) -> None:
    if len(keep) != len(rows.events):
        rows.indices = [rows.indices[row] for row in keep]
        rows.events = [rows.events[row] for row in keep]
        rows.codes = [rows.codes[row] for row in keep]


def _gauge(values: list[int | None]) -> I8 | None:
    if None not in values:
        return np.fromiter(values, np.int64, len(values))
    if not any(value is not None for value in values):
        return None
    return np.fromiter([-1 if value is None else min(value, MAX_GAUGE) for value in values], np.int64, len(values))


def _cpu(values: list[float | None]) -> F8 | None:
    if None in values and not any(value is not None for value in values):
        return None
    return np.array(values, np.float64) + 0.0  # None becomes NaN, -0.0 becomes 0.0
