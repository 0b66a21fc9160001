"""The state on the changelog topics: restored, checked against the log, and re-keyed for more partitions.

May touch: Kafka; the core decides what a record of state means.
In: changelog partitions, positions. Out: a restored core, or an error that says what was lost.
"""
