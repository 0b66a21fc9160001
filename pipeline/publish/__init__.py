"""When which record of which window goes out, and how it is made: module records, partials, keys, pace.

May touch: windows, health, alerts, modules of one task; nothing is applied here.
In: windows that changed or closed. Out: `Emitted` records and partials in the outbox.
"""
