"""A real Kafka broker for tests, the demo and benchmarks, wherever they run; not for production.

May touch: processes, Docker, Maven's jars, files below `.dev`; never a mock.
In: an address, or nothing. Out: a broker, from the given address, a Docker engine, or Kafka's own jars, in this order.
"""

from topology.devbroker.jars import kafka_java
from topology.devbroker.process import KafkaProcess
from topology.devbroker.provider import Broker, dev_broker

__all__ = ["Broker", "KafkaProcess", "dev_broker", "kafka_java"]
