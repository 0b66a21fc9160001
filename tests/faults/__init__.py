"""The fault suite: rows of faults against real workers and a real broker, each judged by what came out.

May touch: processes, a broker of its own, clocks of workers; the product is never changed but by a planted bug.
In: `rows*` (what happens), `plan` (steps in time), `strikes` (how it is done). Out: a report by `judge`, docs/reliability.md.
"""
