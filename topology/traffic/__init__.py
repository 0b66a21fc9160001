"""Events from outside: generated, read from files, published, or run through the core without a broker.

May touch: files, Kafka's producer, the clock.
In: scenarios, lines of JSON. Out: records on the input; records of a replay.
"""
