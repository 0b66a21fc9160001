"""The cluster: clients and credentials, the topics there should be and those there are, admin calls.

May touch: aiokafka, certificates; it reads and writes no record.
In: settings. Out: connected clients, descriptions of topics, errors that name the remedy.
"""
