"""`modpulse demo`: a broker, a worker, traffic and the live view in one process tree, checked at its end.

May touch: processes, files of a directory of its own, Kafka.
In: a scenario. Out: a screen, a ledger that adds up, an exit code.
"""
