"""Every error the worker raises on purpose.

    ModpulseError
    |- ConfigError            a setting or a rule file is wrong; the message names it and the remedy
    |- PoisonRecord           one input record cannot be used; it goes to the dead letters, nothing stops
    |- StateIncompatible      the changelog holds state this build or this configuration must not continue from
    |- StateLost              the changelog misses state the consumer group says was committed
    |- InputRewound           an input log is not the one the position belongs to, or ends before it
    |- RecordRefused          the broker refuses a record or a request for good
    |- BrokerUnavailable      the broker cannot be reached (retriable)
    |  |- BrokerTrouble       the broker answers, but not with what was asked for (retriable, but not for ever)
    |- OutputFailed           an answer or a file cannot be written; nobody else is to blame for it
    |- NothingFound           what was asked for is not there
    |- TaskFenced             another worker owns the partition now; this process must stop
    |- DeadLetterLimitExceeded  too large a share of the input are dead letters; stop rather than drain it

`retriable` tells the supervisor whether to wait and try again or to end the process (fail-stop).
"""

from typing import ClassVar


class ModpulseError(Exception):
    """Base of all errors raised on purpose."""

    retriable: ClassVar[bool] = False

    @property
    def answer(self) -> dict[str, object]:
        """What `--json` says beside the message."""
        return {}


class ConfigError(ModpulseError):
    """A setting, a flag or a rule file is wrong. The message names the place and the remedy."""


class PoisonRecord(ModpulseError):
    """One input record cannot be used.

    Attributes:
        reason: one of the contract's reasons (`undecodable`, `invalid`, `future_timestamp`, `too_large`, `late`).
        message: what is wrong with it, for people.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class StateIncompatible(ModpulseError):
    """The changelog was written with other window sizes, another sketch accuracy or a newer record version.

    Operator action: go back to the former configuration or build, or choose a new `application_id` (which starts
    with empty state and reads the input from its beginning).
    """


class PartitionsChanged(StateIncompatible):
    """The state was made for another number of partitions, so modules may have moved. It concerns all tasks, not one.

    Operator action: stop all workers and run `modpulse state repartition`.
    """


class StateLost(ModpulseError):
    """The restored position is behind what the consumer group committed: the changelog was truncated or deleted.

    Operator action: restore the changelog topic, or start once with `modpulse run --accept-state-loss`, which keeps the
    committed offsets and starts the windows empty.
    """


class InputRewound(ModpulseError):
    """A source topic was deleted and made anew, or its log was cut, so the position means nothing in it.

    Operator action: restore the topic, or start once with `modpulse run --accept-input-reset`, which keeps the windows and reads
    a topic that was made anew from its beginning and one that was cut from its end.
    """


class RecordRefused(ModpulseError):
    """The broker refuses for good what a task has to write or to read. The message names the task, the topic and the remedy."""


class BrokerUnavailable(ModpulseError):
    """The broker cannot be reached or did not answer in time."""

    retriable: ClassVar[bool] = True


class BrokerTrouble(BrokerUnavailable):
    """The broker answers, but not with what was asked for. Again and again at the same place, this does not pass by itself."""


class DeadLetterLimitExceeded(ModpulseError):
    """More than `limits.dead_letter_stop_ratio` of what a task consumed lately became dead letters.

    Operator action: look at them (`modpulse dlq list`), mend the sender or the setting that refuses them, start the worker
    again; it goes on from the last commit. What went to the dead letters before can be sent back with `modpulse dlq replay`.
    """


class OutputFailed(ModpulseError):
    """Standard output or a file cannot be written. The message names it, why, and what is left of it.

    Attributes:
        reader_gone: the other end of a pipe was closed: nobody wants the rest, so this is no fault.
    """

    def __init__(self, message: str, *, reader_gone: bool = False) -> None:
        super().__init__(message)
        self.reader_gone = reader_gone


class NothingFound(ModpulseError):
    """What was asked for is not there. A finding, no fault of anybody's."""


class TaskFenced(ModpulseError):
    """Another worker has taken the partition over; nothing this process still holds for it may be written."""
