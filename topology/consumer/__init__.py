"""Reading Kafka: whole fetches, the group and its coordinator, Faust's transport, a log read from here to there.

May touch: aiokafka, Faust, threads; no file.
In: topics and positions. Out: `Span`s and `Piece`s of records, callbacks of rebalances.
"""
