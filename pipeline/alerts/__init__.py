"""Alerts: rules as data, their conditions, and the state machine that turns window records into transitions."""
