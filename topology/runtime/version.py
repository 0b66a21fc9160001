"""Which build this is: for `modpulse --version`, and for whoever reports what went wrong."""

import platform
from importlib.metadata import PackageNotFoundError, version

# What decides how a worker reads and writes Kafka.
_TOLD = ("aiokafka", "faust-streaming", "numpy")


def own_version() -> str:
    """The version of modpulse; `0+unknown` where it is run without being installed."""
    try:
        return version("modpulse")
    except PackageNotFoundError:
        return "0+unknown"


def version_line() -> str:
    """One line: modpulse, whether the compiled part is there, Python, and the libraries that matter."""
    from pipeline.native import load_native

    native = "with the compiled part" if load_native() is not None else "without the compiled part"
    libraries = ", ".join(f"{name} {version(name)}" for name in _TOLD)
    return f"modpulse {own_version()} ({native}; Python {platform.python_version()}; {libraries})"
