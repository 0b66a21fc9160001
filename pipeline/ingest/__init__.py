"""From a batch of raw records to columns: decode, validate, know the module, forward, suppress duplicates.

May touch: the module registry, the compiled part; no window.
In: `RecordBatch`. Out: `Columns`, rejected and forwarded records.
"""
