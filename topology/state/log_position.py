"""Where a task's position stands against the log it belongs to, decided from what the broker says now.

A client that resets an offset by itself (aiokafka's `auto_offset_reset`) hides three different things: records that retention
deleted before they were read, a topic that was deleted and made anew, and a log whose end was cut. Each has its own answer here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.errors import InputRewound

RESET_WAY_OUT = (
    "restore it, or choose a new application_id, or start once with `modpulse run --accept-input-reset TASK`, which keeps the"
    " windows and reads a topic that was made anew from its beginning, and one that was cut from its end"
)


@dataclass(frozen=True, slots=True)
class LogEdges:
    """One partition of a source, as the broker describes it.

    Attributes:
        topic_id: the broker's id of the topic; empty when the broker does not tell.
        begin: the first offset that still exists.
        end: the offset the next record will get; of a log with an open transaction, where that began.
    """

    topic_id: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Start:
    """Where to read a source from, and how many records before that are gone."""

    offset: int
    lost: int = 0


def start_of(task: str, topic: str, position: int | None, known_id: str, log: LogEdges) -> Start:
    """Where to read on.

    Args:
        task: its name, for the message.
        topic: the source, for the message.
        position: the next offset to read; None for a task that has read nothing yet.
        known_id: the id of the topic that the position belongs to; empty when it was never told.
        log: the log as it is now.

    Raises:
        InputRewound: the position belongs to another log, or lies beyond the log's end.
    """
    if position is None:
        return Start(log.begin)
    if known_id and log.topic_id and known_id != log.topic_id:
        raise InputRewound(
            f"task {task}: the topic {topic} was deleted and made anew (its id is {log.topic_id}, the position {position} belongs"
            f" to {known_id}), so the position means nothing in it; {RESET_WAY_OUT}"
        )
    if position > log.end:
        raise InputRewound(
            f"task {task}: the position {position} in {topic} lies beyond the log's end {log.end}: the log was cut, or the topic"
            f" was made anew; {RESET_WAY_OUT}"
        )
    return Start(log.begin, log.begin - position) if position < log.begin else Start(position)


def restart_of(known_id: str, log: LogEdges) -> Start:
    """Where to read on in a log that `start_of` refuses, once an operator has accepted that.

    A topic that was made anew holds nothing that was read before, so it is read whole. A log that was cut still holds what was
    read before, so it is read from its end.
    """
    made_anew = bool(known_id and log.topic_id and known_id != log.topic_id)
    return Start(log.begin if made_anew else log.end)


def is_at_end(positions: Mapping[str, int], ends: Mapping[str, int]) -> bool:
    """Whether every source was read exactly to its end; a position that is behind, ahead, or of an unknown log is not there."""
    return all(topic in ends and ends[topic] == position for topic, position in positions.items())
