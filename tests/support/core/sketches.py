"""Sketches of some modules, made of their values."""

import numpy as np

from pipeline.sketch.cells import CellStore
from pipeline.sketch.mapping import BIN_BITS, bins_of


def store_of(values_by_code: dict[int, list[float]]) -> CellStore:
    """Cells of some modules, their values added in turns."""
    store = CellStore()
    for code, values in values_by_code.items():
        for part in (values[::2], values[1::2]):
            store.add_values((code << BIN_BITS) | bins_of(np.array(part)))
    return store
