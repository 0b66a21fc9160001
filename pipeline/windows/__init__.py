"""Event-time windows: stream time, panes, exact sums, close and seal."""
