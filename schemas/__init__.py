"""What is on the topics and in the state: records, letters' reasons, errors. Every other package builds on it.

May touch: nothing but types (`export` alone reads and writes the published schemas).
In: bytes and fields. Out: typed records, their bytes, JSON Schema and AsyncAPI.
"""
