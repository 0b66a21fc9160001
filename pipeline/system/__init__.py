"""The second stage: one mergeable partial per partition and window becomes the aggregate of the whole system.

May touch: every room of the core; nothing in the core knows it.
In: partials and progress of the module tasks. Out: cuts with system records and system alerts.
"""
