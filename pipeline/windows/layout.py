"""Where each figure of a (module, window) stands in a block's arrays. `rows` has the numbers by which the changelog knows them.

Every array has one row per figure and one column per module code, so that a batch is added to all modules at once and a block is
written to the changelog with a few `tobytes()`. The rows of a gauge are made when a module of the window first sends it: a window
nobody sends memory in holds no row for it.
"""

from typing import Final

from pipeline.windows.moments import SQUARE_LIMBS, SUM_LIMBS

# `ints`: every window has these.
COUNT: Final = 0
SUCCESSES: Final = 1
SUM: Final = 2
SQUARES: Final = SUM + SUM_LIMBS
INT_ROWS: Final = SQUARES + SQUARE_LIMBS

# `floats`: every window has these.
MINIMUM: Final = 0
MAXIMUM: Final = 1
PEAK_ERRORS: Final = 2  # the highest error rate of any sealed base pane with enough requests
FLOAT_ROWS: Final = 3

# `gauges[MEMORY]` and so on, int64: the last value by (event time, offset), and what averages and maxima are made of.
MEMORY: Final = 0
GOROUTINES: Final = 1
CONNECTIONS: Final = 2
GAUGES: Final = (MEMORY, GOROUTINES, CONNECTIONS)
LAST: Final = 0
AT: Final = 1  # event time of the last value, -1 = never sent
OFFSET: Final = 2
LARGEST: Final = 3
READINGS: Final = 4  # below 0: some readings were never counted, so neither average nor maximum is known
TOTAL: Final = 5
TOTAL_LIMBS: Final = 3  # 2^64, 2^32, 2^0
GAUGE_ROWS: Final = TOTAL + TOTAL_LIMBS

# `cpu_ints` and `cpu_floats`.
CPU_AT: Final = 0  # as AT
CPU_OFFSET: Final = 1
CPU_READINGS: Final = 2
CPU_SUM: Final = 3
CPU_INT_ROWS: Final = CPU_SUM + SUM_LIMBS
CPU_LAST: Final = 0
CPU_LEAST: Final = 1  # NaN: some readings were never compared
CPU_LARGEST: Final = 2  # likewise
CPU_FLOAT_ROWS: Final = 3

# Less than any number of readings, and far enough from the end of int64 that 2^15 windows can be merged.
UNKNOWN_READINGS: Final = -(1 << 45)

# What was said about the window so far (`meta`): kept apart, because larger windows change it without changing their sums.
REVISION: Final = 0
EMITTED: Final = 1  # requests in the newest record; differs from the sum = the record is out of date
BEFORE: Final = 2  # packed hysteresis state before this window
LEVEL: Final = 3  # health class in the newest record: 0 healthy, 1 degraded, 2 critical
META_ROWS: Final = 4
