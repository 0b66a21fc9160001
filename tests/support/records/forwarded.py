"""Forwarded records, packed as a task packs them."""

from collections.abc import Sequence

import numpy as np

from pipeline.ingest.packed import pack_one
from pipeline.outputs import Forwarded, PackedRecords


def joined(records: Sequence[Forwarded]) -> PackedRecords:
    """The records as if they had been packed together."""
    parts = [pack_one(record) for record in records]
    tails, sizes = (np.concatenate([getattr(part, name) for part in parts]) for name in ("tails", "sizes"))
    return PackedRecords(records[0].module_id, tails, sizes)
