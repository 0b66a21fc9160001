"""Alert rules: their file, their conditions, and the state machine that turns window records into transitions.

May touch: the configuration and `schemas`; it knows no window and no module state.
In: the text of rules; records of closed windows. Out: `Alert` records, alert state.
"""
