"""Record keys (contract section 1)."""


def module_window(module_id: str, window: str, start_ms: int) -> bytes:
    """Key of a `module-metrics` record."""
    return f"{module_id}|{window}|{start_ms}".encode()


def system_window(window: str, start_ms: int) -> bytes:
    """Key of a `system-metrics` record."""
    return f"{window}|{start_ms}".encode()
