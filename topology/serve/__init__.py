"""HTTP answers of a process, today its probes and metrics; and the question that a health check asks.

May touch: aiohttp, urllib towards this machine, and what it is handed to ask.
In: requests. Out: /livez, /readyz, /metrics.
"""
