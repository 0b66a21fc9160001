"""The limit of open files: raised as far as this process may, and named when it is reached.

A task has a producer and a changelog reader of its own, each with a socket for every broker, so the usual soft limit of 1,024
is reached by some hundred partitions. aiokafka then reports a broker that cannot be reached; the cause is only in its log.
"""

import errno
import logging
import math
import resource
import time

from schemas.errors import BrokerUnavailable, ModpulseError

# How long after the last refused file an unreachable broker is put down to it: longer than the client tries.
_CONNECTED_S = 60.0
# The client tries again without end; so long may a start need more files than the work after it.
_LASTING_S = 15.0
_PAUSE_S = 5.0
_SHORTAGES = (errno.EMFILE, errno.ENFILE)


def raise_open_files_limit() -> int:
    """Raise the soft limit of open files to the hard one, as far as the system lets us; answers the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # macOS says "unlimited" and allows less
        return soft
    return hard


class _Refusals(logging.Filter):
    """Notes when aiokafka logs that it got no file: it raises another error, without this one as its cause."""

    def __init__(self) -> None:
        super().__init__()
        self._newest: OSError | None = None
        self._at = -math.inf
        self._since = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        """Look at a record and let it through."""
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, OSError) and argument.errno in _SHORTAGES:
                now = time.monotonic()
                if now - self._at > _PAUSE_S:
                    self._since = now
                self._newest, self._at = argument, now
        return True

    def recent(self) -> OSError | None:
        """The newest one, if it is young enough to be the reason of what fails now."""
        return self._newest if time.monotonic() - self._at < _CONNECTED_S else None

    def lasting(self) -> OSError | None:
        """The newest one, if there was one again and again for some time."""
        lasts = time.monotonic() - self._at < _PAUSE_S and self._at - self._since > _LASTING_S
        return self._newest if lasts else None


_refusals = _Refusals()
logging.getLogger("aiokafka").addFilter(_refusals)


def shortage_behind(error: BaseException, *, unreachable: bool) -> ModpulseError | None:
    """Our error when files ran out, else None.

    Args:
        error: what was raised.
        unreachable: whether it says that a broker could not be reached, which may be for want of a file.
    """
    if isinstance(error, OSError) and error.errno in _SHORTAGES:
        return _named(error)
    return _named(_refusals.recent()) if unreachable else None


def lasting_shortage() -> ModpulseError | None:
    """Our error when the client has been refused files for a while, and goes on trying; else None."""
    return _named(_refusals.lasting())


def _named(refusal: OSError | None) -> ModpulseError | None:
    if refusal is None:
        return None
    if refusal.errno == errno.ENFILE:
        return BrokerUnavailable(
            "this machine has no open file left (ENFILE), so a broker cannot be connected to; raise sysctl fs.file-max, or"
            " end what holds so many"
        )
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return ModpulseError(
        f"this process may have {limit} files open and needs more (EMFILE); raise the limit (LimitNOFILE= in a systemd unit,"
        " --ulimit nofile= of a container, `ulimit -Hn` in a shell), or start more workers, so that each has fewer partitions"
    )
