"""The core: what a batch of records does to windows, health, alerts and outputs. The same input gives the same output.

May touch: numpy and its own state; no clock, broker, file, process or randomness (the compiled part's library apart).
In: `RecordBatch`es, and the wall clock as an argument. Out: a `Cut`, everything to be written since the last one.
"""
