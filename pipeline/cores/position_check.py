"""Whether a core may continue from a position."""

from itertools import pairwise

from pipeline.sketch.mapping import ALPHA
from schemas.checksum import damaged
from schemas.errors import StateIncompatible
from schemas.state import POSITION_KEY, Position, unpack_position


def take_position(state: dict[bytes, bytes]) -> Position:
    """Take the position out of a restored state.

    Raises:
        StateIncompatible: there is none, or no core of this build can go on from it.
    """
    if POSITION_KEY not in state:
        raise StateIncompatible(
            f"the changelog holds {len(state)} records but no {POSITION_KEY.decode()!r}, which is in each transaction: restore"
            " the changelog topic, or choose a new application_id"
        )
    position = unpack_position(state.pop(POSITION_KEY))
    _check(position)
    return position


def _check(position: Position) -> None:
    """Refuse a position that no core can have written, or one of another sketch accuracy.

    Raises:
        StateIncompatible: it is one of these.
    """
    sizes_ms = list(position.sizes.values())
    ledgers = position.ledger.values()
    times = (position.stream_ms, position.closed_through_ms, position.sealed_through_ms)
    faults = {
        "its window sizes do not fit together": not sizes_ms
        or sizes_ms[0] < 1
        or any(later <= earlier or later % sizes_ms[0] for earlier, later in pairwise(sizes_ms)),
        "a ledger does not balance": not all(ledger.balanced for ledger in ledgers),
        "an offset or a partition count is below its least": position.partitions < 1
        or min([position.sequence, position.alert_revisions, *position.offsets.values()]) < 0,
        "windows were closed without stream time": times[0] is None and times[1:] != (None, None),
    }
    for fault, found in faults.items():
        if found:
            raise damaged(POSITION_KEY, fault)
    if position.relative_error != ALPHA:
        raise StateIncompatible(
            f"the state was made with sketches of a relative error of {position.relative_error}, this build has {ALPHA}: go"
            " back to the build that wrote it, or choose a new application_id"
        )
