"""Event-time windows of one task: panes, exact sums, gauges, merging, expiry, and their changelog records.

May touch: columns, sketches, the configuration; no health and no output.
In: `Columns` in offset order. Out: sums of a window by module code, chunks of state.
"""
