"""A file of events to the input topic: keyed by module, routed as Kafka's default partitioner does, all acknowledged."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field

from schemas.errors import ConfigError, ModpulseError
from topology.producer.event_key import key_of
from topology.runtime.progress import Progress
from topology.runtime.signals import signals
from topology.settings import Settings
from topology.traffic.batch_sender import BatchSender, batch_sender
from topology.traffic.line_feed import Line, LineFeed

_CHUNK_LINES = 2_000
# So many wrong lines are named; the rest is counted.
_MOST_NAMED = 20

Check = Callable[[bytes], str | None]


@dataclass(slots=True)
class Published:
    """What became of a file.

    Attributes:
        records: acknowledged by the broker; with a dry run: that would be sent.
        keyless: lines that name no module; sent all the same, for the worker's dead letters.
        too_large: lines that fit in no batch of the topic; they were not sent.
        wrong: lines that are no valid event; where lines are checked they are not sent.
        problems: of the first of these, line and reason.
        next_line: every line before it is done; from there one can go on.
        interrupted: told to stop before the end.
        seconds: how long it took.
    """

    records: int = 0
    keyless: int = 0
    too_large: int = 0
    wrong: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)
    next_line: int = 1
    interrupted: bool = False
    seconds: float = 0.0


class PublishStopped(ModpulseError):
    """Publishing broke off. The message says why, how far it came and how to go on."""

    def __init__(self, cause: ModpulseError, done: Published) -> None:
        again = f"; {done.records:,} records are in the topic, and every line before {done.next_line:,}"
        super().__init__(f"{cause}{again}: go on with --from-line {done.next_line}")
        self.done = done
        self.cause = cause

    @property
    def answer(self) -> dict[str, object]:
        """How far it came."""
        return asdict(self.done)


class UnreadableInput(PublishStopped, ConfigError):
    """The file cannot be read further."""


async def publish(
    settings: Settings, lines: Iterable[Line], progress: Progress, *, check: Check | None = None, live: bool = False
) -> Published:
    """Send lines as records to the input topic and wait until the broker has all of them. A line waits for a second at most.

    Args:
        settings: of the broker and the topic.
        lines: numbered, in rising order.
        progress: is told how many are acknowledged.
        live: lines come one by one, as through a pipe.
        check: says what is wrong with a line, or nothing; such lines are not sent.

    Raises:
        ConfigError: the topic is missing.
        PublishStopped: it broke off after some lines; the message says how far it came.
        BrokerUnavailable: no broker answers.
    """
    done = Published()
    stop = asyncio.Event()
    senders: list[BatchSender] = []
    try:
        with signals(stop):
            async with batch_sender(settings, settings.topics.module_log_events) as sender:
                senders.append(sender)
                with LineFeed(lines, _CHUNK_LINES, live=live) as feed:
                    unreadable = await _send_all(feed, sender, done, stop, progress, check)
    except ModpulseError as error:
        if not senders:
            raise
        _account(done, senders[0], progress)
        raise PublishStopped(error, done) from error
    _account(done, senders[0], progress)
    done.interrupted = stop.is_set()
    if unreadable is not None:
        raise UnreadableInput(unreadable, done) from unreadable
    return done


async def _send_all(
    feed: LineFeed, sender: BatchSender, done: Published, stop: asyncio.Event, progress: Progress, check: Check | None
) -> ModpulseError | None:
    """Until the lines end; answers why they cannot be read further, if that is so."""
    while True:
        try:
            taken = await feed.take(stop)
        except ConfigError as error:
            return error
        if not taken:
            return None
        good = [line for line in taken if not _wrong(line, done, check)]
        keyed = [(number, key_of(line), line) for number, line in good]
        done.keyless += sum(key is None for _, key, _ in keyed)
        await sender.send_numbered(keyed, taken[-1][0] + 1)
        if len(taken) < _CHUNK_LINES:
            await sender.flush()
        progress.reached(sender.acknowledged)


def look_at(lines: Iterable[Line], check: Check) -> Published:
    """The same without sending: what would be sent, and what is wrong.

    Raises:
        ConfigError: the lines cannot be read.
    """
    done = Published()
    for number, line in lines:
        if not _wrong((number, line), done, check):
            done.records += 1
            done.keyless += key_of(line) is None
        done.next_line = number + 1
    return done


def _wrong(line: Line, done: Published, check: Check | None) -> bool:
    problem = check(line[1]) if check is not None else None
    if problem is None:
        return False
    done.wrong += 1
    if len(done.problems) < _MOST_NAMED:
        done.problems.append((line[0], problem))
    return True


def _account(done: Published, sender: BatchSender, progress: Progress) -> None:
    done.records, done.too_large, done.next_line = sender.acknowledged, sender.too_large, sender.next_line
    done.seconds = progress.seconds
