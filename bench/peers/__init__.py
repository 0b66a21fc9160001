"""The same job in other frameworks: read the topic, sum 30 s event-time windows per module, report the progress."""
