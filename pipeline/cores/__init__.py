"""The core of a module task: applies batches, closes windows, cuts, restores, and is re-keyed.

May touch: every room of the core but `system`; others see it through the `TaskCore` protocol.
In: record batches, stored state. Out: cuts.
"""
