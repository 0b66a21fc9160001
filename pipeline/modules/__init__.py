"""The modules a task knows: codes of ids, hashes, homes among partitions, silence.

May touch: the configuration; arrays by module code.
In: ids and event times. Out: module codes, who is silent, who belongs elsewhere.
"""
