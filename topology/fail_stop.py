"""How a worker ends: cleanly, with an error, or by beginning again.

Trouble with the broker, and being fenced, leave a process whose state may be ahead of what is written. It begins again from the
checkpoint as a new program in the same process (same id, same terminal, same supervisor), so nothing of the old one can live
on: no thread, no connection, no half-done transaction. Everything else ends the process.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import NoReturn

import structlog

from schemas.errors import BrokerUnavailable, ModpulseError, TaskFenced

log = structlog.get_logger()

# Not a setting: it is how one incarnation tells the next how often this happened, and when last.
RESTARTS = "_RESTARTS_OF_MODPULSE"
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 15.0
# A worker that ran this long before the trouble came starts counting anew.
SETTLED_S = 120.0


def backoff_s(restarts: int) -> float:
    """How long to wait before the next begin."""
    return float(min(FIRST_BACKOFF_S * 2**restarts, MAX_BACKOFF_S))


def restarts_so_far(environ: Mapping[str, str], ran_s: float) -> int:
    """How often in a row this process had to begin again."""
    text = environ.get(RESTARTS, "0")
    return int(text) if text.isdecimal() and ran_s < SETTLED_S else 0


def end(work: Callable[[], None]) -> None:
    """Do the work; end or begin again as its error says.

    Raises:
        ModpulseError: an error that ends the process, when no thread is left that would keep it alive.
    """
    began = time.monotonic()
    try:
        work()
    except (BrokerUnavailable, TaskFenced) as error:
        _begin_again(error, time.monotonic() - began)
    except ModpulseError as error:
        if threading.active_count() == 1:
            raise
        from topology.cli import exit_code

        sys.stderr.write(f"modpulse: {error}\n")
        _exit_now(exit_code(error))
    except Exception:  # noqa: BLE001 - the outermost supervisor: the cause is shown whole, and the process ends
        traceback.print_exc()
        _exit_now(1)
    if threading.active_count() > 1:
        _exit_now(0)


def _begin_again(error: ModpulseError, ran_s: float) -> NoReturn:
    restarts = restarts_so_far(os.environ, ran_s)
    wait_s = backoff_s(restarts)
    log.error("beginning again from the checkpoint", error=str(error), wait_seconds=wait_s, restarts=restarts + 1)
    # The loop that handled these is gone; all that is worth keeping is written, so a stop is a clean one.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _exit_now(0))
    time.sleep(wait_s)
    sys.stderr.flush()
    os.environ[RESTARTS] = str(restarts + 1)
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - ourselves, with our own arguments


def _exit_now(code: int) -> NoReturn:
    """End although a thread of the consumer hangs: a process that does nothing but hold its group membership is worse."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
