"""The pages of docs/ and the picture of the rooms that are made from the code.

May touch: the files it writes, the source it reads.
In: settings, metrics, imports. Out: docs/configuration.md, docs/metrics.md, docs/rooms.svg.
"""
