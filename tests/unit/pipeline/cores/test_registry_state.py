"""The registry in the changelog: chunks of 64 codes there and back; one that no registry wrote is refused."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from pipeline.config import Limits
from pipeline.cores.registry_state import changes, restore_chunk
from pipeline.health.hysteresis import UNKNOWN_SINCE, step
from pipeline.modules.registry import OTHER, Modules
from schemas.errors import StateIncompatible
from schemas.state import ModulesChunk, pack, unpack
from tests.support.core.cores import START_MS, config_of

WINDOWS = config_of((1, 2, 4), 0, 0).windows
KEY = b"modules|0"


def registry(size: int = 100) -> Modules:
    """Modules of which each has figures of its own."""
    modules = Modules(Limits(), WINDOWS)
    for number in range(size):
        code = modules.add(f"m{number}")
        modules.last_ms[code] = START_MS + number
        worse = np.array([number % 3])
        for level in range(3):
            modules.chains[level, code] = step(np.zeros(1, np.int64), worse, worse, worse, START_MS + level).states[0]
        modules.silence.runs[code] = number % 4
        modules.silence.since_ms[code] = START_MS if number % 5 == 0 else -1
    return modules


def stored(modules: Modules) -> dict[bytes, bytes]:
    return {record.key: record.value for record in changes(modules) if record.value is not None}


def restored(state: dict[bytes, bytes], levels: Sequence[int | None] = (0, 1, 2)) -> Modules:
    modules = Modules(Limits(), WINDOWS)
    for key, value in state.items():
        restore_chunk(modules, list(levels), key, value)
    modules.restored()
    return modules


def figures(modules: Modules) -> dict[str, tuple[Any, ...]]:
    """Everything that is kept of each module."""
    return {
        module_id: (
            code, int(modules.last_ms[code]), modules.chains[:, code].tolist(), int(modules.silence.runs[code]),
            int(modules.silence.since_ms[code]), int(modules.hashes[code]),
        )
        for module_id, code in modules.codes.items()
    }  # fmt: skip


def test_every_module_comes_back_with_all_that_is_kept_of_it_in_any_order_of_chunks() -> None:
    modules = registry()
    state = stored(modules)
    assert sorted(state) == [b"modules|0", b"modules|1"]
    for again in (restored(state), restored(dict(reversed(state.items())))):
        assert figures(again) == figures(modules)
        assert (again.tracked, again.keys) == (100, modules.keys)


def test_only_chunks_that_changed_since_the_last_time_are_written() -> None:
    modules = registry()
    changes(modules)
    assert changes(modules) == []
    modules.seen(np.array([70]), START_MS + 10**6)
    assert [record.key for record in changes(modules)] == [b"modules|1"]


def test_a_code_whose_module_expired_is_free_again_and_a_chunk_may_be_empty() -> None:
    modules = registry(70)
    for code in (5, *range(64, 71)):
        module_id = modules.ids[code]
        assert module_id is not None
        modules.ids[code] = None
        del modules.codes[module_id]
    again = restored(stored(modules))
    assert again.codes == modules.codes
    assert [again.add("new"), again.add("newer")] == [5, 64]


def test_states_of_sizes_that_stay_follow_their_size_and_those_of_sizes_that_are_gone_are_dropped() -> None:
    modules = registry(10)
    again = restored(stored(modules), [2, None, 0])
    for code in range(1, 11):
        old = modules.chains[:, code].tolist()
        assert again.chains[:, code].tolist() == [old[2], 0, old[0]]


def test_version_1_kept_neither_silence_nor_since_when_a_class_is() -> None:
    bare = ModulesChunk(1, codes_of(1), ["m"], times_of(START_MS), times_of(1, 0, 2))
    again = restored({KEY: pack_unchecked(bare)})
    code = again.codes["m"]
    assert (again.chains[:, code] & 3).tolist() == [1, 0, 2]
    assert (again.chains[:, code] >> 20).tolist() == [UNKNOWN_SINCE] * 3
    assert (int(again.silence.runs[code]), int(again.silence.since_ms[code])) == (0, -1)


def pack_unchecked(record: ModulesChunk) -> bytes:
    """As version 1 wrote it, without a checksum."""
    return msgspec.msgpack.encode(replace(record, runs=b"", silent_ms=b""))


def codes_of(*codes: int) -> bytes:
    return np.array(codes, "<i4").tobytes()


def times_of(*times: int) -> bytes:
    return np.array(times, "<i8").tobytes()


TWO = stored(registry(2))[KEY]
FIGURES, CODES = "no registry holds its figures", "its codes are not those of the chunk"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"codes": codes_of(0, 1, 64)}, CODES),
        ({"codes": codes_of(0, -1, 2)}, CODES),
        ({"codes": codes_of(0, 2, 2)}, CODES),
        ({"codes": codes_of(0, 2, 1)}, CODES),
        ({"ids": [OTHER, "m0"]}, CODES),
        ({"ids": [OTHER, "m0", ""]}, "module '' cannot have code 2"),
        ({"ids": [OTHER, "m0", "m0"]}, "module 'm0' cannot have code 2"),
        ({"ids": [OTHER, "m0", OTHER]}, f"module '{OTHER}' cannot have code 2"),
        ({"ids": ["m", "m0", "m1"]}, "module 'm' cannot have code 0"),
        ({"last_ms": times_of(0, 0, -1)}, FIGURES),
        ({"last_ms": times_of(0, 0)}, "cannot reshape"),
        ({"chains": times_of(*[0] * 6)}, "cannot reshape"),
        ({"chains": times_of(*[0] * 8, 3)}, FIGURES),
        ({"chains": times_of(*[0] * 8, -1)}, FIGURES),
        ({"runs": b"\0\0\4"}, FIGURES),
        ({"silent_ms": times_of(-1, -1, -2)}, FIGURES),
    ],
)
def test_a_chunk_that_no_registry_wrote_is_refused_by_its_key_with_what_is_wrong(
    change: dict[str, Any], why: str
) -> None:
    record = replace(unpack(ModulesChunk, KEY, TWO), **change)
    with pytest.raises(StateIncompatible) as refused:
        restored({KEY: pack(KEY, record)})
    assert f"'modules|0' is damaged ({why}" in str(refused.value)


@pytest.mark.parametrize("key", [b"modules|00", b"modules|-1", b"modules|16384", b"modules|x", b"modules"])
def test_a_key_that_no_chunk_has_is_refused_and_nothing_is_reserved_for_it(key: bytes) -> None:
    modules = Modules(Limits(), WINDOWS)
    empty = ModulesChunk(2, b"", [], b"", b"")
    with pytest.raises(StateIncompatible, match=key.decode().replace("|", r"\|")):
        restore_chunk(modules, [0, 1, 2], key, pack(key, empty))
    assert modules.capacity == 64


def test_a_module_of_two_chunks_is_refused() -> None:
    modules = registry()
    state = stored(modules)
    second = unpack(ModulesChunk, b"modules|1", state[b"modules|1"])
    twice = pack(b"modules|1", replace(second, ids=["m7", *second.ids[1:]]))
    with pytest.raises(StateIncompatible, match="module 'm7' cannot have code 64"):
        restored(state | {b"modules|1": twice})
