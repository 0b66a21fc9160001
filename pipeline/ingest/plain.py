"""Plain events of known modules, straight to columns by the compiled part; all other records are left over.

Left over is whatever needs a decision: bad records, new modules, foreign keys, events from the future, modules over the
limit. They take the one-by-one path, so each rule stands in one place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.config import CoreConfig
from pipeline.ingest.batch import RecordBatch, Slices, join_slices
from pipeline.ingest.identifiers import mix_ids
from pipeline.ingest.modules import OTHER_CODE, Modules, old_hashes
from pipeline.native import HAS_ID, KEY_DIFFERS, PLAIN, SUCCESS, Native, NativeLimits, PlainEvents, load_native
from pipeline.sketch.mapping import I8
from pipeline.windows.columns import Columns

_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class PlainPart:
    """A batch, divided.

    Attributes:
        columns: the plain events, or None where there is none.
        rest: indices of all other records, rising.
    """

    columns: Columns | None
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

    def __init__(self, scanner: PlainScanner, config: CoreConfig, modules: Modules) -> None:
        self._scanner = scanner
        self._config = config
        self._modules = modules
        self.wants_old_ids = False

    def columns(self, batch: RecordBatch, now_ms: int) -> PlainPart | None:
        """Divide a batch into plain events and the rest; None where nothing in it can be plain."""
        if self._config.repartition == "always" and not batch.forwarded:
            return None
        found = self.scan(batch)
        # A key that is not the module's id means: forward it, or it was forwarded as `__other__`.
        chosen = (found.flags & (PLAIN | KEY_DIFFERS)) == PLAIN
        limit_ms = now_ms + self._config.windows.max_future_ms
        # What a row that is not plain says means nothing; `mode` keeps its index within bounds.
        codes = self._codes(found).take(found.tokens, mode="clip") if found.modules else np.full(chosen.size, _UNKNOWN)
        chosen &= (codes > OTHER_CODE) & (found.times <= limit_ms)
        # The scanner sees values alone; what a key or headers make too large is refused with the rest.
        chosen[batch.above(self._config.limits.max_record_bytes)] = False
        if chosen.all():
            return PlainPart(self._collect(batch, found, codes, slice(None)) if chosen.size else None, _NONE)
        rows = np.flatnonzero(chosen)
        columns = self._collect(batch, found, codes, rows) if rows.size else None
        return PlainPart(columns, np.flatnonzero(~chosen))

    def scan(self, batch: RecordBatch) -> PlainEvents:
        """What the compiled part read of a batch, ahead or now."""
        return self._scanner.scan(batch.keys, batch.values) if batch.plain is None else batch.plain

    def _codes(self, found: PlainEvents) -> I8:
        """The code of each different module id, `_UNKNOWN` for new ones."""
        codes = self._modules.keys
        return np.array([codes.get(module_id, _UNKNOWN) for module_id in found.modules], np.int64)

    def _collect(self, batch: RecordBatch, found: PlainEvents, codes: I8, rows: I8 | slice) -> Columns:
        flags, codes = found.flags[rows], codes[rows]
        every = batch.offsets
        offsets = np.arange(every.start, every.stop) if isinstance(every, range) else np.array(every, np.int64)
        ids: NDArray[np.uint64] | None = None
        old_ids: NDArray[np.uint64] | None = None
        has_id = (flags & HAS_ID) != 0
        if self._config.dedup and has_id.any():
            ids = mix_ids(found.ids[rows], self._modules.hashes[codes])
            if self.wants_old_ids:
                old_ids = mix_ids(found.ids[rows], old_hashes(self._modules)[codes])
        # Adding 0.0 turns -0.0 into 0.0, as the Python path does.
        cpu = found.cpu[rows] + 0.0
        first, second, third = (_sent(gauge[rows]) for gauge in found.gauges)
        return Columns(
            codes=codes,
            times=found.times[rows],
            offsets=offsets[rows],
            successes=(flags & SUCCESS) != 0,
            response_ms=found.response_ms[rows] + 0.0,
            gauges=(first, second, third),
            cpu=None if np.isnan(cpu).all() else cpu,
            ids=ids,
            has_id=None if ids is None else has_id,
            old_ids=old_ids,
        )


_NONE: I8 = np.empty(0, np.int64)


def _sent(gauge: I8) -> I8 | None:
    return gauge if (gauge >= 0).any() else None
