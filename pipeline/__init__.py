"""The pure core: columns in, values out. No clock, no I/O, no randomness; time comes in as data."""
