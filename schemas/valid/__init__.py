"""What a record of the input must be to count: one definition, for the worker, `schema validate` and the published schemas.

May touch: nothing but types.
In: bytes of a value, and the limits of a configuration. Out: an event, or the reason and the words for its refusal; JSON Schema.
"""
