"""How a worker ends: cleanly, with an error, or by beginning again.

Trouble with the broker, and being fenced, leave a process whose state may be ahead of what is written. It begins again from the
checkpoint as a new program in the same process (same id, same terminal, same supervisor), so nothing of the old one can live
on: no thread, no connection, no half-done transaction. A task that fails in the same way at the same place again and again, or
whose record the broker refuses for good, is given up: the next program parks it, and the other tasks go on. Everything else ends
the process.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import msgspec
import structlog

from schemas.errors import BrokerTrouble, BrokerUnavailable, ConfigError, ModpulseError, RecordRefused, TaskFenced
from topology.runtime.acceptance import without_acceptance
from topology.runtime.exit_codes import exit_code

log = structlog.get_logger()

# Not a setting: it is how one incarnation tells the next how often this happened, and what of.
RESTARTS = "_RESTARTS_OF_MODPULSE"
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 15.0
# A worker that ran this long before the trouble came starts counting anew.
SETTLED_S = 120.0
# The same error at the same place so many times in a row is no passing trouble.
PERMANENT = 5
# So often in a short time a worker with a name of its own is fenced only by another of that name.
FENCED_BY_NAMESAKE = 3
# Kubernetes and Docker grant 30 s and 10 s; systemd 90 s.
END_WITHIN_S = 27.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Where an error arose: the task, and its position for people; both empty where it was at none."""

    task: str = ""
    place: str = ""


class Restarts(msgspec.Struct, frozen=True):
    """What one incarnation tells the next.

    Attributes:
        count: how often in a row the worker began again.
        signature: kind of the newest error, its task and place. same: how often in a row it was this one.
        fenced: how often another worker took over from it, in this row of restarts.
        given_up: tasks that the next incarnation parks, and why.
    """

    count: int = 0
    signature: str = ""
    same: int = 0
    fenced: int = 0
    given_up: dict[str, str] = {}


def backoff_s(restarts: int) -> float:
    """How long to wait before the next begin."""
    return float(min(FIRST_BACKOFF_S * 2**restarts, MAX_BACKOFF_S))


def restarts_so_far(environ: Mapping[str, str], ran_s: float = 0.0) -> Restarts:
    """What the former incarnation told; one that ran for long before the trouble counts anew."""
    try:
        found = msgspec.json.decode(environ.get(RESTARTS, "{}"), type=Restarts)
    except msgspec.MsgspecError:
        return Restarts()
    return found if ran_s < SETTLED_S else Restarts(given_up=found.given_up)


def forget_given_up() -> None:
    """An operator wants every task tried again, in this incarnation and the next."""
    os.environ.pop(RESTARTS, None)


class Deadline:
    """Ends the process when it does not end by itself, once it was asked to or failed."""

    def __init__(self, within_s: float = END_WITHIN_S) -> None:
        self._within_s = within_s
        self._timer: threading.Timer | None = None

    def begin(self, error: BaseException | None) -> None:
        """From now on the time runs; `error` is why the worker ends, if it was not asked to."""
        if self._timer is None:
            self._timer = threading.Timer(self._within_s, self._over, [error])
            self._timer.daemon = True
            self._timer.start()

    def met(self) -> None:
        """The worker has ended by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def _over(self, error: BaseException | None) -> None:
        log.error(
            "the worker did not end in time; what was not written is processed again by the next owner",
            within_seconds=self._within_s,
            error=None if error is None else str(error),
        )
        _exit_now(exit_code(error) if isinstance(error, ModpulseError) else 1)


def end(
    work: Callable[[], None], failure: Callable[[], Failure], *, instance_id: str | None = None, strict: bool = False
) -> None:
    """Do the work; end or begin again as its error says.

    Args:
        work: runs the worker.
        failure: where its error arose.
        instance_id: the worker's own name in the group, if it has one.
        strict: no task is given up; what would park one ends the process.

    Raises:
        ModpulseError: an error that ends the process, when no thread is left that would keep it alive.
    """
    began = time.monotonic()
    try:
        work()
    except (BrokerUnavailable, TaskFenced, RecordRefused) as error:
        _begin_again_or_end(error, time.monotonic() - began, failure(), instance_id, strict=strict)
    except ModpulseError as error:
        _end_with(error)
    except Exception:  # noqa: BLE001 - the outermost supervisor: the cause is shown whole, and the process ends
        traceback.print_exc()
        _exit_now(1)
    if threading.active_count() > 1:
        _exit_now(0)


def after(error: ModpulseError, former: Restarts, failure: Failure) -> Restarts:
    """What the next incarnation is told about this error."""
    signature = f"{type(error).__name__} {failure.task} {failure.place}"
    same = former.same + 1 if signature == former.signature else 1
    given_up = former.given_up
    # A broker that is away is waited for without end; only what it answers can be permanent.
    permanent = isinstance(error, RecordRefused) or (isinstance(error, BrokerTrouble) and same >= PERMANENT)
    if permanent and failure.task:
        given_up = {**given_up, failure.task: f"task {failure.task} is given up at {failure.place}: {error}"}
    fenced = former.fenced + isinstance(error, TaskFenced)
    return Restarts(former.count + 1, signature, same, fenced, given_up)


def _begin_again_or_end(
    error: ModpulseError, ran_s: float, failure: Failure, instance_id: str | None, *, strict: bool
) -> None:
    former = restarts_so_far(os.environ, ran_s)
    told = after(error, former, failure)
    if isinstance(error, TaskFenced) and instance_id and told.fenced >= FENCED_BY_NAMESAKE:
        _end_with(
            ConfigError(
                f"another worker uses kafka.group_instance_id = {instance_id} too ({error}); give each worker a name of its own"
            )
        )
    given_up = told.given_up != former.given_up
    hopeless = isinstance(error, RecordRefused) or (isinstance(error, BrokerTrouble) and told.same >= PERMANENT)
    if hopeless and (strict or not given_up):
        _end_with(error)
    _begin_again(error, told)


def _end_with(error: ModpulseError) -> None:
    if threading.active_count() == 1:
        raise error
    sys.stderr.write(f"modpulse: {error}\n")
    _exit_now(exit_code(error))


def _begin_again(error: ModpulseError, told: Restarts) -> NoReturn:
    wait_s = backoff_s(told.count - 1)
    log.error("beginning again from the checkpoint", error=str(error), wait_seconds=wait_s, restarts=told.count)
    # The loop that handled these is gone; all that is worth keeping is written, so a stop is a clean one.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _exit_now(0))
    time.sleep(wait_s)
    sys.stderr.flush()
    os.environ[RESTARTS] = msgspec.json.encode(told).decode()
    os.execv(sys.executable, without_acceptance(sys.orig_argv))  # noqa: S606 - ourselves, with our own arguments


def _exit_now(code: int) -> NoReturn:
    """End although a thread of the consumer hangs: a process that does nothing but hold its group membership is worse."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
