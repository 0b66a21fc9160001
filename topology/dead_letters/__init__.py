"""Dead and late letters for people: listed, counted, filtered, replayed into the input.

May touch: Kafka, through reader and transaction; no task.
In: letters on their topics, a filter. Out: summaries; the original records, sent once.
"""
