"""Events that make a window of one second critical or healthy."""

from tests.support.core.cores import Event


def sick(time: int, module: str = "m") -> list[Event]:
    """Enough failures for a critical window."""
    return [Event(module, time + i, 1.0, success=False) for i in range(4)]


def well(time: int, module: str = "m") -> list[Event]:
    """Enough successes for a healthy window."""
    return [Event(module, time + i) for i in range(4)]
