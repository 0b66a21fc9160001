"""The worker: which tasks it has, how each goes from fetch to commit, and what it says of itself.

May touch: Kafka, asyncio, the clock; no file.
In: assignments, spans, signals. Out: transactions, metrics, readiness, an error that ends it.
"""
