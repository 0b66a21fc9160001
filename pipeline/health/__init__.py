"""Health of a module in a window: contributions to a score, a class with reasons, hysteresis over windows.

May touch: figures of windows, the configuration.
In: sums of a window, packed states. Out: scores, classes, states after the window.
"""
