"""HTTP answers of a process: today its probes and metrics.

May touch: aiohttp, and what it is handed to ask.
In: requests. Out: /livez, /readyz, /metrics.
"""
