"""A real Kafka broker for tests, the demo and benchmarks, wherever they run.

`dev_broker` tries three providers in order: a given address, a Docker engine, Apache Kafka's own jars by Maven. It
never falls back to a mock, and it is not for production.
"""

from topology.devbroker.jars import kafka_java
from topology.devbroker.process import KafkaProcess
from topology.devbroker.provider import Broker, dev_broker

__all__ = ["Broker", "KafkaProcess", "dev_broker", "kafka_java"]
