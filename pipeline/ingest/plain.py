"""Plain events of modules whose place is decided, straight to columns by the compiled part; all other records are left over.

Left over is whatever needs a decision: bad records, new modules, foreign keys, events from the future. They take the one-by-one
path, so each rule stands in one place. Where `__other__` is counted is decided for all modules at once (`Overflow`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import I8
from pipeline.columns import Columns
from pipeline.config import CoreConfig
from pipeline.ingest.batch import RecordBatch, Slices, equal_to, join_slices
from pipeline.ingest.overflow import SENT_ON, UNKNOWN, Overflow, own_hashes
from pipeline.ingest.packed import offsets_at
from pipeline.modules.homes import Homes
from pipeline.modules.identifiers import mix_ids
from pipeline.modules.registry import OTHER, OTHER_CODE, OTHER_KEY, Modules, old_hashes
from pipeline.native import HAS_ID, KEY_DIFFERS, PLAIN, SUCCESS, Native, NativeLimits, PlainEvents, load_native
from schemas.valid.rules import FIRST_MICROSECOND, LARGEST_OFFSET_MS, EventRules

_OWN_KEY = PLAIN
_OTHER_KEY = PLAIN | KEY_DIFFERS


@dataclass(frozen=True, slots=True)
class PlainPart:
    """A batch, divided.

    Attributes:
        columns: the plain events that are counted here, or None where there is none.
        sent_on: indices of the plain events that the owner of `__other__` counts, rising.
        rest: indices of all other records, rising.
    """

    columns: Columns | None
    sent_on: I8
    rest: I8


class PlainScanner:
    """Reads events without knowing any module; free of state, so that another thread may do it ahead."""

    def __init__(self, native: Native, config: CoreConfig) -> None:
        limits = config.limits
        self.native = native
        self._limits = NativeLimits(
            limits.max_record_bytes, limits.max_labels, limits.max_label_key_chars, limits.max_label_value_chars
        )

    @classmethod
    def of(cls, config: CoreConfig) -> "PlainScanner | None":
        """A scanner, unless it was not built or is switched off."""
        native = load_native() if config.native else None
        return None if native is None else cls(native, config)

    def scan(self, keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> PlainEvents:
        """Read the values of a batch."""
        if not (isinstance(values, Slices) and isinstance(keys, Slices) and values.buffer is keys.buffer):
            values, keys = join_slices(values, keys)
        spans = (values.starts, values.sizes), (keys.starts, keys.sizes)
        return self.native.events(values.buffer, *spans, self._limits)


class PlainReader:
    """Takes in the plain events of one task's batches.

    Attributes:
        wants_old_ids: also give the hashes that version 1 made of event ids.
    """

    def __init__(self, scanner: PlainScanner, config: CoreConfig, modules: Modules, homes: Homes) -> None:
        self._scanner = scanner
        self._config = config
        self._rules = config.event_rules
        self._modules = modules
        self._homes = homes
        self._overflow = Overflow(modules, homes)
        self.wants_old_ids = False

    def columns(self, batch: RecordBatch, now_ms: int) -> PlainPart | None:
        """Divide a batch into plain events and the rest; None where nothing in it can be plain."""
        if self._config.repartition == "always" and not batch.forwarded:
            return None
        found = self.scan(batch)
        kinds = found.flags & (PLAIN | KEY_DIFFERS)
        usable = found.times <= now_ms + self._config.windows.max_future_ms
        usable &= surely_in_time(found.times, self._rules)
        # The scanner sees values alone; what a key or headers make too large is refused with the rest.
        usable[batch.above(self._config.limits.max_record_bytes)] = False
        codes = self._codes(batch, found, usable & (kinds == _OWN_KEY))
        if batch.forwarded and not self._homes.elsewhere(OTHER):
            # Their modules were over another partition's limit; here they stay what they were made there.
            others = np.flatnonzero(usable & (kinds == _OTHER_KEY))
            if others.size:
                codes[others[equal_to(batch.keys, others, OTHER_KEY)]] = OTHER_CODE
        here = codes >= OTHER_CODE
        if here.all():
            return PlainPart(self._collect(batch, found, codes, slice(None)) if here.size else None, _NONE, _NONE)
        rows = np.flatnonzero(here)
        columns = self._collect(batch, found, codes, rows) if rows.size else None
        return PlainPart(columns, np.flatnonzero(codes == SENT_ON), np.flatnonzero(codes == UNKNOWN))

    def _codes(self, batch: RecordBatch, found: PlainEvents, usable: NDArray[np.bool_]) -> I8:
        """The code of each event that has its module's id as its key; `SENT_ON`, or `UNKNOWN` where others must decide."""
        if not usable.any():
            return np.full(usable.size, UNKNOWN, np.int64)
        rows = np.flatnonzero(usable)
        # A forwarded record may bring a module under a key of its own; what is foreign here is sent on, whatever its module.
        told = PLAIN | KEY_DIFFERS if batch.forwarded else PLAIN
        all_known = bool((found.flags & told == PLAIN).all())
        by_token, turned = self._overflow.codes(found, rows, all_known=all_known)
        if turned.size:
            self._overflow.note(found, turned, rows)
            if batch.forwarded:  # what is said of their first hop must stay true
                by_token[by_token == SENT_ON] = UNKNOWN
        # What a row that is not plain says means nothing; `mode` keeps its index within bounds.
        codes = by_token.take(found.tokens, mode="clip")
        codes[~usable] = UNKNOWN
        return codes

    def scan(self, batch: RecordBatch) -> PlainEvents:
        """What the compiled part read of a batch, ahead or now."""
        return self._scanner.scan(batch.keys, batch.values) if batch.plain is None else batch.plain

    def _collect(self, batch: RecordBatch, found: PlainEvents, codes: I8, rows: I8 | slice) -> Columns:
        flags, codes = found.flags[rows], codes[rows]
        others = np.flatnonzero(codes == OTHER_CODE)
        self._modules.overflowed += others.size
        ids: NDArray[np.uint64] | None = None
        old_ids: NDArray[np.uint64] | None = None
        has_id = (flags & HAS_ID) != 0
        if self._config.dedup and has_id.any():
            hashes = self._modules.hashes[codes]
            # Modules without a code of their own still have ids of their own.
            tokens = found.tokens[rows][others]
            hashes[others] = own_hashes(found, tokens)
            ids = mix_ids(found.ids[rows], hashes)
            if self.wants_old_ids:
                hashes = old_hashes(self._modules)[codes]
                hashes[others] = own_hashes(found, tokens, version_1=True)
                old_ids = mix_ids(found.ids[rows], hashes)
        # Adding 0.0 turns -0.0 into 0.0, as the Python path does.
        cpu = found.cpu[rows] + 0.0
        first, second, third = (_sent(gauge[rows]) for gauge in found.gauges)
        return Columns(
            codes=codes,
            times=found.times[rows],
            offsets=offsets_at(batch, rows),
            successes=(flags & SUCCESS) != 0,
            response_ms=found.response_ms[rows] + 0.0,
            gauges=(first, second, third),
            cpu=None if np.isnan(cpu).all() else cpu,
            ids=ids,
            has_id=None if ids is None else has_id,
            old_ids=old_ids,
        )


def surely_in_time(times: I8, rules: EventRules) -> NDArray[np.bool_]:
    """Which times are neither of another unit nor too old, whether they came as numbers or as text; others must be looked at."""
    least = rules.min_timestamp_ms
    return (times >= (least and least + LARGEST_OFFSET_MS)) & (times < FIRST_MICROSECOND)


_NONE: I8 = np.empty(0, np.int64)


def _sent(gauge: I8) -> I8 | None:
    return gauge if (gauge >= 0).any() else None
