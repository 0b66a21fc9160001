"""Where each figure of a (module, window) stands in a block's two arrays.

`ints` (int64) and `floats` (float64) have one row per figure and one column per module code, so that a batch is added to all
modules at once and a block is written to the changelog with two `tobytes()`.
"""

from typing import Final

from pipeline.windows.moments import SQUARE_LIMBS, SUM_LIMBS

COUNT: Final = 0
SUCCESSES: Final = 1
SUM: Final = 2
SQUARES: Final = SUM + SUM_LIMBS
CPU_SUM: Final = SQUARES + SQUARE_LIMBS
CPU_COUNT: Final = CPU_SUM + SUM_LIMBS
ADDED: Final = CPU_COUNT + 1  # rows before this one are sums: merging adds them

# Each gauge keeps its last value by (event time, offset): value, time (-1 = never sent), offset.
MEMORY: Final = ADDED
GOROUTINES: Final = MEMORY + 3
CONNECTIONS: Final = GOROUTINES + 3
CPU_AT: Final = CONNECTIONS + 3  # the value of this one is a float: floats[CPU]
INT_ROWS: Final = CPU_AT + 2

MINIMUM: Final = 0
MAXIMUM: Final = 1
CPU: Final = 2
PEAK_ERRORS: Final = 3  # the highest error rate of any sealed base pane with enough requests
FLOAT_ROWS: Final = 4

# What was said about the window so far (`meta`): kept apart, because larger windows change it without changing their sums.
REVISION: Final = 0
EMITTED: Final = 1  # requests in the newest record; differs from the sum = the record is out of date
BEFORE: Final = 2  # packed hysteresis state before this window
LEVEL: Final = 3  # health class in the newest record: 0 healthy, 1 degraded, 2 critical
META_ROWS: Final = 4
