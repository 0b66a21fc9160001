"""Late and dead letters: what came in, cut to what their topic takes, with headers that say why, from where, and what was cut.

| header `modpulse.errors.` | |
|---|---|
| `reason`, `message` | why |
| `topic`, `partition`, `offset`, `timestamp` | of the record that came in; of a batch: where it begins |
| `truncated` | which parts are not whole, and how many bytes they had: `key=9437184,headers=12,value=70000` |
| `first_offset`, `last_offset`, `records` | of a letter that stands for a whole batch; its value is the batch as it was fetched |
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from msgspec.structs import replace

from pipeline.ingest.hop import first_place, original_key, own_headers
from pipeline.ingest.packed import unpack
from pipeline.outputs import Cut, Forwarded, Header, PackedRecords, Rejected, headers_bytes
from schemas.state import Ledger
from topology.records.outgoing import HEADER_BYTES, Record, size_of_headers
from topology.records.packed_batches import most_bytes_alone

ERROR_HEADERS = "modpulse.errors."
# Other clients read no more than 100,000 headers of a record, and nothing of one that has more. A record of the default
# limits.max_record_bytes has 8,192 at most.
MOST_HEADERS = 10_000
# `truncated` names three parts and their sizes.
_TRUNCATED_BYTES = 100


def letter(rejected: Rejected, most_bytes: int) -> Record:
    """The letter, so that a batch of it alone has at most so many bytes.

    Small parts are kept whole and large ones give way to them; of headers the first ones are kept. Where not even our own
    headers fit, the message goes too, and nothing of what came in is left: such a stub may be larger than was asked for.
    """
    said = _said(rejected)
    whole = Record(rejected.key, rejected.value, [*rejected.headers, *said])
    if whole.most_bytes <= most_bytes and len(rejected.headers) <= MOST_HEADERS:
        return whole
    room = most_bytes - Record(None, None, said).most_bytes - _TRUNCATED_BYTES - HEADER_BYTES
    stub = room < 0
    if stub:
        said = [header for header in said if header[0] != ERROR_HEADERS + "message"]
        room = most_bytes - Record(None, None, said).most_bytes - _TRUNCATED_BYTES - HEADER_BYTES
    sizes = {
        "key": len(rejected.key or b""),
        "headers": size_of_headers(rejected.headers),
        "value": len(rejected.value or b""),
    }
    shares = _shares(sizes, max(room, 0))
    kept = _first_headers(rejected.headers, shares["headers"])
    cut = {name for name in ("key", "value") if shares[name] < sizes[name]}
    cut |= {"headers"} if len(kept) < len(rejected.headers) else set()
    cut |= {"message"} if stub else set()
    original = sizes | {"headers": headers_bytes(rejected.headers), "message": len(rejected.message.encode())}
    truncated = ",".join(f"{name}={size}" for name, size in original.items() if name in cut)
    key, value = _beginning(rejected.key, shares["key"]), _beginning(rejected.value, shares["value"])
    return Record(key, value, [*kept, *said, (ERROR_HEADERS + "truncated", truncated.encode())])


def unforwarded(record: Forwarded, message: str) -> Rejected:
    """The dead letter of a record that the repartition topic does not take, as if it had been refused where it came in."""
    place = first_place(record.headers)
    assert place is not None, "what the core forwards says where it came in"
    key = original_key(record.headers, record.module_id.encode())
    own = tuple(own_headers(record.headers))
    return Rejected("too_large", message, *place, record.timestamp_ms, key, record.value, own)


def without_forwarded(cut: Cut, size_bytes: int) -> Cut:
    """The cut with dead letters for the forwarded records that are as large as one the repartition topic did not take."""
    kept: list[Forwarded | PackedRecords] = []
    refused: list[Rejected] = []
    for one in cut.outbox.forwarded:
        for part, fits in _by_size(one, size_bytes):
            if fits:
                kept.append(part)
            else:
                records = unpack(part) if isinstance(part, PackedRecords) else (part,)
                message = f"the repartition topic takes no record of {size_bytes} bytes"
                refused += [unforwarded(record, message) for record in records]
    ledgers = {topic: replace(ledger) for topic, ledger in cut.position.ledger.items()}
    for reject in refused:
        ledgers[reject.topic].forwarded -= 1
        ledgers[reject.topic].invalid += 1
    outbox = dataclasses.replace(cut.outbox, forwarded=kept, rejected=[*cut.outbox.rejected, *refused])
    return dataclasses.replace(cut, outbox=outbox, position=replace(cut.position, ledger=ledgers))


def _by_size(one: Forwarded | PackedRecords, size_bytes: int) -> Iterator[tuple[Forwarded | PackedRecords, bool]]:
    """What was forwarded, in order, divided into what is smaller and what is not."""
    if isinstance(one, Forwarded):
        yield one, Record(one.module_id.encode(), one.value, one.headers).most_bytes < size_bytes
        return
    fits = most_bytes_alone(one) < size_bytes
    cuts = [0, *(np.flatnonzero(np.diff(fits)) + 1).tolist(), len(one)]
    for low, high in pairwise(cuts):
        yield one.part(low, high), bool(fits[low])


def adopt(ledgers: Mapping[str, Ledger], cut: Cut, written: Cut) -> None:
    """Count in a core's ledgers, too, what was not forwarded after all when its cut was written."""
    for topic, ledger in written.position.ledger.items():
        refused = cut.position.ledger[topic].forwarded - ledger.forwarded
        ledgers[topic].forwarded -= refused
        ledgers[topic].invalid += refused


def _said(rejected: Rejected) -> list[Header]:
    said: dict[str, bytes] = {
        "reason": rejected.reason.encode(),
        "message": rejected.message.encode(),
        "topic": rejected.topic.encode(),
        "partition": b"%d" % rejected.partition,
        "offset": b"%d" % rejected.offset,
        "timestamp": b"%d" % rejected.timestamp_ms,
    }
    if (whole := rejected.whole) is not None:
        said["first_offset"] = b"%d" % whole.first_offset
        said["last_offset"] = b"%d" % whole.last_offset
        said["records"] = b"%d" % whole.records
    return [(ERROR_HEADERS + name, value) for name, value in said.items()]


def _shares(sizes: dict[str, int], room: int) -> dict[str, int]:
    """Who gets how much: the smallest first, each at most an equal part of what is left."""
    shares: dict[str, int] = {}
    for left, name in zip(range(len(sizes), 0, -1), sorted(sizes, key=sizes.__getitem__), strict=True):
        shares[name] = min(sizes[name], room // left)
        room -= shares[name]
    return shares


def _first_headers(headers: Sequence[Header], room: int) -> list[Header]:
    kept: list[Header] = []
    for header in headers[:MOST_HEADERS]:
        room -= size_of_headers((header,))
        if room < 0:
            break
        kept.append(header)
    return kept


def _beginning(data: bytes | None, size: int) -> bytes | None:
    return data if data is None or len(data) <= size else data[:size]
