"""Stable hashes of module ids and event ids."""

from collections.abc import Iterable, Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from pipeline.arrays import U8

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads the bits
_MODULE_SEED = 1


def hash_module(module_id: str) -> int:
    """A 64-bit hash of a module id, the same in every process and release (XXH3).

    Its seed is not that of event ids. With one hash for both, `a` of module `b` and `b` of module `a` would be one pair.
    """
    return xxhash.xxh3_64_intdigest(module_id.encode(), _MODULE_SEED)


def hash_modules(module_ids: Sequence[bytes], *, version_1: bool = False) -> U8:
    """The hashes of many module ids, of today or of version 1."""
    seed = 0 if version_1 else _MODULE_SEED
    digests = b"".join([xxhash.xxh3_64_digest(module_id, seed) for module_id in module_ids])
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def hash_module_version_1(module_id: str) -> int:
    """The hash of a module id in segments of version 1, where it was that of an event id."""
    return xxhash.xxh3_64_intdigest(module_id.encode())


def hash_texts(ids: Sequence[str | None]) -> tuple[U8, NDArray[np.bool_]]:
    """The 64-bit hash of each event id, and a mask of the events that have one; None and "" mean the event has none."""
    has_id = np.ones(len(ids), np.bool_)
    texts: Iterable[str] = ids  # type: ignore[assignment]
    if None in ids or "" in ids:
        has_id = np.fromiter(map(bool, ids), np.bool_, len(ids))
        texts = [text or "" for text in ids]
    # Digests joined and read as one array: cheaper than an int object for each.
    digests = b"".join(map(xxhash.xxh3_64_digest, map(str.encode, texts)))
    return np.frombuffer(digests, ">u8").astype(np.uint64), has_id


def mix_ids(raw: U8, module_hashes: U8) -> U8:
    """The hash of each (module, event id) pair from the hashes of both; never 0.

    Equal pairs have equal hashes, and different ones differ but for 1 in 2^64.
    """
    mixed = (raw ^ module_hashes) * _MULTIPLIER
    mixed ^= mixed >> np.uint64(32)
    mixed[mixed == 0] = 1
    return mixed
