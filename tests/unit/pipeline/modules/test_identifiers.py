"""Ids that nobody should have to read are named, and hashes are of the pair of module and event id."""

from collections.abc import Sequence

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pipeline.arrays import U8
from pipeline.modules.identifiers import (
    hash_module,
    hash_module_version_1,
    hash_modules,
    hash_texts,
    mix_ids,
)
from tests.support.core.cores import fixed


def pairs_of(modules: Sequence[str], ids: Sequence[str | None]) -> U8:
    """The hashes of (module, event id) pairs."""
    return mix_ids(hash_texts(ids)[0], np.array([hash_module(module) for module in modules], np.uint64))


def test_hashes_are_of_the_module_and_the_id_and_an_empty_id_is_none() -> None:
    texts = ["1", "1", "1", "", None]
    assert hash_texts(texts)[1].tolist() == [True, True, True, False, False]
    found = pairs_of("abaaa", texts)
    assert found[0] == found[2] != found[1]
    assert pairs_of("a", ["1"])[0] == found[0], "the same in every batch"
    many = pairs_of(["m"] * 5_000, [str(i) for i in range(5_000)])
    assert np.unique(many).size == 5_000
    assert (many != 0).all()


def test_a_pair_is_not_its_reverse_and_an_id_that_is_its_modules_name_is_one_of_many() -> None:
    names = ["auth", "billing", "cart", "x", ""]
    pairs = [(module, id_) for module in names[:4] for id_ in names]
    found = pairs_of([module for module, _ in pairs], [id_ for _, id_ in pairs])
    assert np.unique(found).size == len(pairs)


@fixed(60)
@given(st.lists(st.text(max_size=8), max_size=5))
def test_ids_hashed_together_have_the_hashes_that_they_have_alone(ids: list[str]) -> None:
    raw = [id_.encode() for id_ in ids]
    assert hash_modules(raw).tolist() == [hash_module(id_) for id_ in ids]
    assert hash_modules(raw, version_1=True).tolist() == [hash_module_version_1(id_) for id_ in ids]
    found, has_id = hash_texts(ids)
    assert has_id.tolist() == [id_ != "" for id_ in ids]
    assert found.tolist() == [xxhash.xxh3_64_intdigest(id_.encode()) for id_ in ids]


@pytest.mark.parametrize(
    ("text", "today", "version_1"),
    [
        ("checkout", 0x74712BD0DDF747FC, 0xC9597D5DE43833CC),
        ("süß", 0x3D0D552A247E4FD9, 0xF1B778B385265066),
    ],
)
def test_the_hash_of_an_id_is_the_same_in_every_release(text: str, today: int, version_1: int) -> None:
    assert (hash_module(text), hash_module_version_1(text)) == (today, version_1)


def test_no_pair_has_the_hash_zero_which_means_a_free_place() -> None:
    hashes = np.array([7, 7, 7], np.uint64)
    assert mix_ids(np.array([7, 7, 6], np.uint64), hashes).tolist()[:2] == [1, 1]
    assert (mix_ids(np.array([7, 7, 6], np.uint64), hashes) != 0).all()
