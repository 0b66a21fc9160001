"""The checksum that ends every state record, and the words for a record that must not be continued from.

A record names its version in its field `v` and holds its checksum in its last field `check`, so the last bytes of the encoded
record are the checksum. The checksum covers the record's key too: a record under another key is damaged. Records of version 1
have none.
"""

import msgspec
import xxhash

from schemas.errors import StateIncompatible

CHECK_BYTES = 8
NO_CHECK = b""
PLACE_OF_CHECK = bytes(CHECK_BYTES)
# What msgspec raises for bytes that are not the record asked for: its own tree, bad UTF-8 and absurd nesting.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def checksum(key: bytes, body: bytes | memoryview) -> bytes:
    """64 bits of XXH3 over a record's key and everything before its checksum."""
    state = xxhash.xxh3_64(key)
    state.update(body)
    return state.digest()


def with_checksum(key: bytes, encoded: bytes) -> bytes:
    """Put the checksum into an encoded record whose last field `check` is `PLACE_OF_CHECK`."""
    body = encoded[:-CHECK_BYTES]
    return body + checksum(key, body)


def checksum_holds(key: bytes, value: bytes) -> bool:
    """Whether a record ends with the checksum of its key and content."""
    return value[-CHECK_BYTES:] == checksum(key, memoryview(value)[: max(len(value) - CHECK_BYTES, 0)])


def damaged(key: bytes, why: object) -> StateIncompatible:
    """The error for a record that cannot be what this or an older build wrote."""
    return StateIncompatible(
        f"the changelog record {_shown(key)} is damaged ({why}): restore the changelog topic, or choose a new application_id"
    )


def unknown_version(key: bytes, version: int, newest: int) -> StateIncompatible:
    """The error for a record of a newer build."""
    return StateIncompatible(
        f"the changelog record {_shown(key)} is of version {version}, this build reads versions 1 to {newest}: go back to the"
        " build that wrote it, or choose a new application_id"
    )


def require_known(key: bytes, value: bytes, version: int, check: bytes, newest: int) -> None:
    """Refuse a decoded record unless it is of version 1, or of the newest version with its checksum.

    Raises:
        StateIncompatible: a newer build wrote the record, or the record is damaged.
    """
    if version > newest:
        raise unknown_version(key, version, newest)
    if not (checksum_holds(key, value) if version == newest else version == 1 and check == NO_CHECK):
        raise damaged(key, "its checksum is wrong")


def _shown(key: bytes) -> str:
    return repr(key[:80].decode("utf-8", "backslashreplace"))
