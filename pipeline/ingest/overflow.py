"""Modules over the limit, by their different ids: decided once for each id of a batch, never for each event."""

import re

import numpy as np

from pipeline.arrays import I8, U8
from pipeline.modules.homes import Homes
from pipeline.modules.identifiers import hash_modules
from pipeline.modules.registry import OTHER_CODE, Modules
from pipeline.native import PlainEvents
from schemas.valid.rules import BLANKS, id_fault

# Instead of a code: the id is new here and needs a decision, or its events go to the owner of `__other__`.
UNKNOWN = -1
SENT_ON = -2

_BLANK = re.compile(b"(?:%b)+" % b"|".join(re.escape(blank.encode()) for blank in BLANKS)).fullmatch


class Overflow:
    """Says which code the events of an id have, while the registry is as it is now."""

    def __init__(self, modules: Modules, homes: Homes) -> None:
        """Of one task."""
        self._modules = modules
        self._homes = homes

    def codes(self, found: PlainEvents, rows: I8, *, all_known: bool) -> tuple[I8, I8]:
        """The codes of the different ids of a batch.

        The first new ids get what places there are, and no event of the batch makes another one free. So the events of all later
        ids count under `__other__`, if the id is fit to be one and lives here.

        Args:
            found: the batch.
            rows: the events that are not refused or foreign, rising.
            all_known: no other record of the batch can bring a module.

        Returns:
            By token: code, `SENT_ON` or `UNKNOWN`. And the tokens of the ids that are turned away.
        """
        known, room = self._modules.keys, self._modules.room
        codes = np.array([known.get(module_id, UNKNOWN) for module_id in found.modules], np.int64)
        new = np.flatnonzero(codes == UNKNOWN)
        if new.size <= room or (room and not all_known):
            return codes, _NONE
        if not self._all_fit(found, new):
            new = new[[self._fit(found.modules[token]) for token in new.tolist()]]
        turned = new[np.argsort(_first_rows(found, rows)[new], kind="stable")[room:]] if room else new
        codes[turned] = SENT_ON if self._homes.other_elsewhere else OTHER_CODE
        return codes, turned

    def _all_fit(self, found: PlainEvents, new: I8) -> bool:
        """Whether that can be said of all of them at once."""
        ids = [found.modules[token] for token in new.tolist()]
        return not (self._homes.checked or any(map(_BLANK, ids))) and b"".join(ids).decode().isprintable()

    def _fit(self, module_id: bytes) -> bool:
        text = module_id.decode()
        return id_fault(text) is None and not self._homes.elsewhere(text)

    def note(self, found: PlainEvents, turned: I8, rows: I8) -> None:
        """Note the newest id turned away; `rows` are the events that are not refused, rising."""
        if not turned.size or not rows.size:
            return
        is_turned = np.zeros(len(found.modules), np.bool_)
        is_turned[turned] = True
        tokens = found.tokens[rows]
        away = np.flatnonzero(is_turned[tokens])
        if away.size:
            self._modules.newest_overflow = found.modules[int(tokens[away[-1]])].decode()


def _first_rows(found: PlainEvents, rows: I8) -> I8:
    """By token, the first of some rows that has it; behind all rows where none has."""
    first = np.full(len(found.modules), found.tokens.size, np.int64)
    backwards = rows[::-1]
    first[found.tokens[backwards]] = backwards  # the last one assigned stays
    return first


def own_hashes(found: PlainEvents, tokens: I8, *, version_1: bool = False) -> U8:
    """The hashes of ids that have no code of their own, by event."""
    wanted = np.zeros(len(found.modules), np.bool_)
    wanted[tokens] = True
    different = np.flatnonzero(wanted)
    hashes = np.zeros(len(found.modules), np.uint64)
    hashes[different] = hash_modules([found.modules[token] for token in different.tolist()], version_1=version_1)
    return hashes[tokens]


_NONE: I8 = np.empty(0, np.int64)
