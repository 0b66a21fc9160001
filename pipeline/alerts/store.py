"""The states of a machine's alerts, found by fingerprint and by rule and module, with what the changelog must learn."""

import heapq

from schemas.alert_state import ActiveAlert, decode_state, encode_state, fingerprint_of_key, state_key


class AlertStore:
    """Alert states in memory. `put` and `expire` mark what changed; `drain` hands it to the changelog."""

    def __init__(self, keep_resolved_ms: int) -> None:
        self._keep_resolved_ms = keep_resolved_ms
        self._states: dict[str, ActiveAlert] = {}
        self._active: dict[str, set[str]] = {}  # rule -> fingerprints; never holds an empty set
        self._active_count = 0
        self._expiry: list[tuple[int, str]] = []  # heap; an entry counts only if the state still is of that tick
        self._changed: set[str] = set()

    @property
    def active_count(self) -> int:
        """How many alerts are pending or firing."""
        return self._active_count

    def get(self, fingerprint: str) -> ActiveAlert | None:
        """The state of that fingerprint, resolved ones included while they are remembered."""
        return self._states.get(fingerprint)

    def active(self, rule: str) -> dict[str, ActiveAlert]:
        """The pending and firing alerts of a rule by module id ("" for the system)."""
        states = (self._states[fingerprint] for fingerprint in self._active.get(rule, ()))
        return {state.module_id or "": state for state in states}

    def all_active(self) -> list[ActiveAlert]:
        """The pending and firing alerts of all rules, in a fixed order."""
        states = (self._states[f] for fingerprints in self._active.values() for f in fingerprints)
        return sorted(states, key=lambda s: (s.rule, s.module_id or "", s.fingerprint))

    def has_active(self, rule: str) -> bool:
        """Whether any alert of the rule is pending or firing."""
        return rule in self._active

    def all(self) -> list[ActiveAlert]:
        """Every state that is remembered, by fingerprint."""
        return [self._states[fingerprint] for fingerprint in sorted(self._states)]

    def put(self, state: ActiveAlert) -> None:
        """Sets a state and marks it for the changelog."""
        self._index(state)
        self._changed.add(state.fingerprint)

    def expire(self, tick_ms: int) -> int:
        """Forgets the alerts that resolved long ago, and answers the highest revision among them, 0 where there is none."""
        highest = 0
        while self._expiry and self._expiry[0][0] + self._keep_resolved_ms <= tick_ms:
            resolved_ms, fingerprint = heapq.heappop(self._expiry)
            state = self._states.get(fingerprint)
            if state is not None and state.status == "resolved" and state.last_tick_ms == resolved_ms:
                del self._states[fingerprint]
                self._changed.add(fingerprint)
                highest = max(highest, state.revision)
        return highest

    def drain(self) -> list[tuple[bytes, bytes | None]]:
        """What changed since the last drain, by key; None is a tombstone."""
        changed = sorted(self._changed)
        self._changed.clear()
        return [(state_key(f), encode_state(self._states[f]) if f in self._states else None) for f in changed]

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Takes back one changelog record; of several for a key the last one counts. Marks nothing.

        Raises:
            StateIncompatible: the record is not one this build reads.
        """
        if value is None:
            self._unindex(self._states.pop(fingerprint_of_key(key), None))
        else:
            self._index(decode_state(key, value))

    def _index(self, state: ActiveAlert) -> None:
        self._unindex(self._states.get(state.fingerprint))
        self._states[state.fingerprint] = state
        if state.status == "resolved":
            heapq.heappush(self._expiry, (state.last_tick_ms, state.fingerprint))
        else:
            self._active.setdefault(state.rule, set()).add(state.fingerprint)
            self._active_count += 1

    def _unindex(self, state: ActiveAlert | None) -> None:
        if state is None or state.status == "resolved":
            return
        fingerprints = self._active[state.rule]
        fingerprints.remove(state.fingerprint)
        self._active_count -= 1
        if not fingerprints:
            del self._active[state.rule]
