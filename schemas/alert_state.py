"""What the changelog keeps of one alert: enough to continue it exactly after a restart, its revisions rising.

One record per fingerprint. An alert that has resolved stays for a day of event time without its labels and
annotations, only so that its next life continues the revisions that consumers have already seen; then a tombstone
removes it. This module knows the form of the state, not when it changes (`pipeline/alerts/machine.py`).
"""

from typing import Literal

import msgspec
from msgspec import Struct

from schemas.alerts import AlertStatus
from schemas.checksum import (
    NO_CHECK,
    PLACE_OF_CHECK,
    UNREADABLE,
    damaged,
    require_known,
    unknown_version,
    with_checksum,
)
from schemas.errors import StateIncompatible

STATE_VERSION = 2
_KEY_PREFIX = b"alert|"


class ActiveAlert(Struct, frozen=True, gc=False, kw_only=True):
    """One alert as last published. All times are event time, epoch milliseconds.

    Attributes:
        v: version of this record's form.
        rule: name of the rule that raised it.
        module_id: None for the system.
        active_at_ms: the tick at which the condition was first seen true.
        fired_at_ms: the tick at which it began to fire; None if it has not.
        last_tick_ms: the tick of its last transition; ticks that change nothing write nothing.
        value: the number at its last transition; None where the rule compares none.
        revision: of the last published record.
        starts_at_ms: start of the first window in which the condition held; version 1 kept `active_at_ms` alone.
        quiet_since_ms: the tick at which the condition was first seen false while `keep_firing_for` keeps the alert firing; None
            where the condition holds.
        check: the checksum.
    """

    v: int = STATE_VERSION
    fingerprint: str
    rule: str
    scope: Literal["module", "system"]
    module_id: str | None
    status: AlertStatus
    severity: str
    labels: dict[str, str]
    annotations: dict[str, str]
    threshold: float | None
    value: float | None
    active_at_ms: int
    fired_at_ms: int | None
    last_tick_ms: int
    revision: int
    starts_at_ms: int | None = None
    quiet_since_ms: int | None = None
    check: bytes = NO_CHECK


class _Version(Struct):
    v: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ActiveAlert)
_version_decoder = msgspec.msgpack.Decoder(_Version)


def state_key(fingerprint: str) -> bytes:
    """The changelog key of an alert."""
    return _KEY_PREFIX + fingerprint.encode()


def fingerprint_of_key(key: bytes) -> str:
    """The fingerprint in a changelog key.

    Raises:
        StateIncompatible: it is not the key of an alert.
    """
    if not key.startswith(_KEY_PREFIX):
        raise StateIncompatible(f"not the key of an alert: {key[:80]!r}")
    return key.removeprefix(_KEY_PREFIX).decode("ascii", "replace")


def encode_state(state: ActiveAlert) -> bytes:
    """MessagePack with field names, so that fields can be added, and the checksum."""
    checked = msgspec.structs.replace(state, v=STATE_VERSION, check=PLACE_OF_CHECK)
    return with_checksum(state_key(state.fingerprint), _encoder.encode(checked))


def decode_state(key: bytes, value: bytes) -> ActiveAlert:
    """The inverse of `encode_state`; also reads version 1, which the state's `v` says then.

    Raises:
        StateIncompatible: written by a newer build, damaged, filed under another alert's key, or no alert state at all.
    """
    try:
        version = _version_decoder.decode(value).v
        if version > STATE_VERSION:
            raise unknown_version(key, version, STATE_VERSION)
        state = _decoder.decode(value)
    except UNREADABLE as error:
        raise damaged(key, error) from error
    require_known(key, value, state.v, state.check, STATE_VERSION)
    if fingerprint_of_key(key) != state.fingerprint:
        raise damaged(key, f"it is the state of alert {state.fingerprint!r}")
    return msgspec.structs.replace(state, check=NO_CHECK)
