"""Writing Kafka: where each output goes, letters that fit, one transaction for a cut, another attempt.

May touch: aiokafka's producer; no clock, no file.
In: a `Cut`. Out: a committed transaction, or an error that says what becomes of the task.
"""
