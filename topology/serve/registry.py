"""A registry of metrics: no series but those that say something."""

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics

# What the client library says of a process; on systems without /proc the first ones are missing.
PROCESS_FAMILIES = (
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
    "python_info",
)


def new_registry(*, process: bool = False) -> CollectorRegistry:
    """An empty registry.

    Args:
        process: it also says what this process takes, and on which Python.
    """
    # A `_created` series beside each counter was a quarter of the page, and no server here reads it.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    if process:
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
    return registry
