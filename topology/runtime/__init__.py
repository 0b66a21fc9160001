"""What a process needs whatever it does: clock, logs, limits of files and memory, progress, exit codes, restarts.

May touch: the operating system; no Kafka.
In: settings, signals, errors. Out: time, log lines, an orderly end.
"""
