"""Kafka's record batches as bytes and as columns: found, decompressed, refused, and packed again.

May touch: bytes and codecs; aiokafka's types, no connection.
In: fetched bytes, outgoing records. Out: records by column, batches ready to be sent.
"""
