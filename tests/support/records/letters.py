"""Dead letters as their readers see them."""

from dataclasses import replace

from pipeline.outputs import Header
from topology.dead_letters.record import Letter, Origin, letter_of


def said(**more: bytes) -> tuple[Header, ...]:
    all_of_them = {"reason": b"invalid", "message": b"no", "topic": b"in", "partition": b"1", "offset": b"5"}
    return tuple((f"modpulse.errors.{k}", v) for k, v in (all_of_them | {"timestamp": b"900"} | more).items())


def made_of(headers: tuple[Header, ...], offset: int = 7, partition: int = 2, timestamp_ms: int = 1_000) -> Letter:
    return letter_of(("dlq", partition, offset), timestamp_ms, b"shop", b"{", headers)


def letter(offset: int = 7, partition: int = 0, reason: str = "invalid", timestamp_ms: int = 1_000) -> Letter:
    made = made_of(said(reason=reason.encode()), offset, partition, timestamp_ms)
    return replace(made, origin=Origin("in", partition, offset * 3, 900))
