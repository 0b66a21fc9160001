"""The alert state machine: window records in, transitions out. Event time only, no clock.

A tick is one closed window; `tick_ms` is its end. The semantics are those of Prometheus (rules/alerting.go), with
three differences made for a compacted topic: a pending alert whose condition ends is published as resolved, state is
restored exactly, and revisions keep rising when an alert comes back.

- false -> pending when the condition is first true, `active_at` = that tick; firing when `tick - active_at >= for`, so
  `for = 0` fires at once and is never pending. Pending or firing -> resolved at the first false tick. Where `for` was raised
  since, an alert that fires goes back to pending until its condition has held for the new time, as in Prometheus.
- A published alert starts where the first window starts in which its condition held: that is when the trouble was seen.
- A tick of another window size can lie before an alert's last transition, where a rule moved to that size or was removed. Such a
  tick says nothing of the alert, and an alert never ends before its last transition.
- Records are published on transitions only; between them value and annotations stay as published.
- A firing alert whose condition ended stays firing for `keep_firing_for`, counted from the first tick at which it was false;
  where the condition holds again, that count begins anew. A pending alert is not kept.
- No record for a module in a tick, or one on which the condition cannot be said: `no_data = "hold"` changes nothing (time still
  passes), `"ok"` counts as false, and `"alert"` counts as true where the module is silent. Which modules are, the caller says.
- The alerts of a module that expired resolve: nobody will ever say more of it.
- An alert whose rule is gone, or whose labels or severity were changed, resolves at the next tick of any window.
- A resolved alert is remembered for a day of event time. Alerts that are not remembered begin above the highest revision
  that was ever forgotten, so a revision of an alert never comes twice.

The same inputs give the same outputs, a restart between any two ticks included. Corrected records are not for this.
"""

from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from pipeline.alerts.compiled import AlertCounters, CompiledRule
from pipeline.alerts.fields import Record, Scope, Silent
from pipeline.alerts.notice import ending_reason, fingerprint, labels_of, rising_reason, to_alert
from pipeline.alerts.rules import Rule
from pipeline.alerts.store import AlertStore
from schemas.alert_state import ActiveAlert
from schemas.alerts import Alert
from schemas.metrics import ModuleMetrics

MAX_ACTIVE_ALERTS = 10_000
KEEP_RESOLVED_MS = 86_400_000
NOBODY: Mapping[str, int] = MappingProxyType({})


class AlertMachine:
    """The alerts of one scope in one task: every rule of that scope, over every record the task closes.

    Attributes:
        counters: evaluations, failures and refusals since it was made.
        revision_base: revisions of alerts that are not remembered begin above it.
    """

    def __init__(self, rules: Sequence[Rule], scope: Scope, *, max_active: int = MAX_ACTIVE_ALERTS) -> None:
        """Compiles the rules of the scope and begins with no alerts.

        Args:
            rules: as loaded; those of the other scope are ignored.
            scope: whose rules to run.
            max_active: how many alerts may be pending or firing; beyond it new ones are refused and counted.
        """
        self.counters = AlertCounters()
        self._compiled = {rule.name: CompiledRule(rule, self.counters) for rule in rules if rule.scope == scope}
        self._scope = scope
        self._max_active = max_active
        self._store = AlertStore(KEEP_RESOLVED_MS)
        self._orphans: list[tuple[ActiveAlert, str]] | None = []  # None: restored since they were looked for
        self.revision_base = 0
        self._updated_at_ms = 0
        self._tick_ms = 0
        self._size_ms = 0
        self._silent: dict[str, Silent] = {}
        self._excused: Container[str] = NOBODY

    @property
    def active_count(self) -> int:
        """How many alerts are pending or firing."""
        return self._store.active_count

    def next_empty_tick(self, window: str, after_ms: int, size_ms: int) -> int | None:
        """The first tick of that window at which something would change if no module had a record from now on.

        Of windows that close without a record, those ticks must come, and the others can be left out.

        Args:
            window: the name of the size.
            after_ms: the newest tick.
            size_ms: the window's size.

        Returns:
            None where nothing would change ever.
        """
        if self._find_orphans():
            return after_ms + size_ms
        due: int | None = None
        for compiled in self._compiled.values():
            rule = compiled.rule
            if rule.window != window or rule.no_data != "ok":
                continue
            for state in self._store.active(rule.name).values():
                kept = state.status == "firing" and state.quiet_since_ms is not None
                end_ms = (state.quiet_since_ms or 0) + rule.keep_firing_for_ms if kept else 0
                steps = max(-(-(end_ms - after_ms) // size_ms), 1)
                due = after_ms + steps * size_ms if due is None else min(due, after_ms + steps * size_ms)
        return due

    def asks_for_silence(self, window: str) -> bool:
        """Whether any rule of that window wants to know which modules are silent."""
        return any(c.rule.window == window and c.rule.no_data == "alert" for c in self._compiled.values())

    def tick(
        self,
        window: str,
        tick_ms: int,
        records: Sequence[Record],
        now_ms: int,
        *,
        size_ms: int,
        silent: Mapping[str, int] = NOBODY,
        excused: Container[str] = NOBODY,
    ) -> list[Alert]:
        """Evaluates the rules of one window size on all records of one closed window.

        Never fails for a record's sake. Ticks must come in rising order per window size, each once.

        Args:
            window: the name of the size.
            tick_ms: the window's end.
            records: its final records, one per module in any order; for the system none or one.
            now_ms: what the alerts say in `updated_at`; decides nothing.
            size_ms: the window's size.
            silent: modules whose silence counts, and since when; those with a record are not looked at.
            excused: modules that are silent on purpose: without a record, their alerts end.

        Returns:
            The transitions, ordered by rule and module id.
        """
        self._silent = {
            module_id: Silent(module_id, window, tick_ms - size_ms, tick_ms, since_ms)
            for module_id, since_ms in silent.items()
        }
        self._excused = excused
        self._tick_ms = tick_ms
        self._size_ms = size_ms
        self._updated_at_ms = now_ms
        self.revision_base = max(self.revision_base, self._store.expire(tick_ms))
        out = self._end_orphans()
        by_module = {_module_key(record): record for record in sorted(records, key=_module_key)}
        for compiled in self._compiled.values():
            if compiled.rule.window == window:
                out += self._tick_rule(compiled, by_module)
        return out

    def end_expired(self, expired: Mapping[str, int], now_ms: int) -> list[Alert]:
        """Ends the alerts of modules that were forgotten.

        Args:
            expired: module ids, and the event time at which each expired.
            now_ms: what the alerts say in `updated_at`.
        """
        self._updated_at_ms = now_ms
        out = []
        for state in self._store.all_active():
            if state.module_id is not None and state.module_id in expired:
                self._tick_ms = expired[state.module_id]
                out.append(self._end(state, state.value, "expired"))
        return out

    def active_modules(self) -> set[str]:
        """The modules that have a pending or firing alert."""
        return {state.module_id for state in self._store.all_active() if state.module_id is not None}

    def drain_state(self) -> list[tuple[bytes, bytes | None]]:
        """What the changelog must learn since the last call; None is a tombstone. Ordered by key."""
        return self._store.drain()

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Takes back one record that `drain_state` gave, in the changelog's order and before the first tick.

        Raises:
            StateIncompatible: the record is not one this build reads.
        """
        self._store.restore(key, value)
        self._orphans = None

    def states(self) -> list[ActiveAlert]:
        """Every alert that is remembered, by fingerprint."""
        return self._store.all()

    def adopt(self, states: Sequence[ActiveAlert], revision_base: int) -> None:
        """Take over alerts of another machine of the same rules; they go into the changelog with the next drain."""
        for state in states:
            self._store.put(state)
        self.revision_base = max(self.revision_base, revision_base)
        self._orphans = None

    def _tick_rule(self, compiled: CompiledRule, by_module: dict[str, Record]) -> list[Alert]:
        rule = compiled.rule
        active = self._store.active(rule.name)
        wanted = active.keys() | self._silent.keys() if rule.no_data == "alert" else active.keys()
        modules = by_module if wanted <= by_module.keys() else sorted(by_module.keys() | wanted)
        out: list[Alert] = []
        for module in modules:
            record = by_module.get(module)
            state = active.get(module)
            if state is not None and self._tick_ms < state.last_tick_ms:
                continue
            if record is None:
                silent = self._silent.get(module) if rule.no_data == "alert" else None
                if silent is not None:
                    out += self._holds(compiled, state, silent)
                elif state is not None and module in self._excused:
                    out.append(self._end(state, state.value, "no data: the module's silence is expected"))
                elif state is not None and rule.no_data == "ok":
                    out += self._ends(rule, state, state.value, "no data")
                continue
            truth = compiled.holds(record)
            if truth:
                out += self._holds(compiled, state, record)
            elif state is not None and truth is not None:
                value = compiled.value(record)
                reason = ending_reason(rule, compiled.condition.text, value, state.status == "pending")
                out += self._ends(rule, state, value, reason)
            elif state is not None and rule.no_data == "ok":
                out += self._ends(rule, state, state.value, "no data")
        return out

    def _holds(self, compiled: CompiledRule, state: ActiveAlert | None, record: Record | Silent) -> list[Alert]:
        """The condition of an alert is true."""
        if state is None:
            return self._begin(compiled, getattr(record, "module_id", None), record)
        if state.quiet_since_ms is not None:
            state = replace(state, quiet_since_ms=None)
            self._store.put(state)
        if (state.status == "firing") != (self._tick_ms - state.active_at_ms >= compiled.rule.for_ms):
            return [self._rise(compiled, state, record)]
        return []

    def _ends(self, rule: Rule, state: ActiveAlert, value: float | None, reason: str) -> list[Alert]:
        """The condition of an alert is false: it resolves, or is kept firing for a while."""
        if state.status == "firing" and rule.keep_firing_for_ms:
            since_ms = self._tick_ms if state.quiet_since_ms is None else state.quiet_since_ms
            if self._tick_ms - since_ms < rule.keep_firing_for_ms:
                if state.quiet_since_ms is None:
                    self._store.put(replace(state, quiet_since_ms=since_ms))
                return []
        return [self._end(state, value, reason)]

    def _begin(self, compiled: CompiledRule, module_id: str | None, record: Record | Silent) -> list[Alert]:
        """A new alert, pending or at once firing; nothing if there are too many."""
        if self._store.active_count >= self._max_active:
            self.counters.refused += 1
            return []
        rule = compiled.rule
        labels = labels_of(rule, module_id)
        known_as = fingerprint(self._scope, labels)
        former = self._store.get(known_as)
        state = ActiveAlert(
            fingerprint=known_as,
            rule=rule.name,
            scope=self._scope,
            module_id=module_id,
            status="pending",
            severity=rule.severity,
            labels=labels,
            annotations={},
            threshold=rule.threshold,
            value=None,
            active_at_ms=self._tick_ms,
            fired_at_ms=None,
            last_tick_ms=self._tick_ms,
            revision=former.revision if former is not None else self.revision_base,
            starts_at_ms=self._tick_ms - self._size_ms,
        )
        return [self._rise(compiled, state, record)]

    def _rise(self, compiled: CompiledRule, state: ActiveAlert, record: Record | Silent) -> Alert:
        """Publishes an alert whose condition is true: firing if it has held long enough, else pending."""
        rule = compiled.rule
        value = None if isinstance(record, Silent) else compiled.value(record)
        firing = self._tick_ms - state.active_at_ms >= rule.for_ms
        state = replace(
            state,
            status="firing" if firing else "pending",
            fired_at_ms=self._tick_ms if firing else None,
            threshold=rule.threshold,
            value=value,
            annotations={k: t.render(record, value, rule.threshold) for k, t in compiled.annotations.items()},
            last_tick_ms=self._tick_ms,
            revision=state.revision + 1,
        )
        self._store.put(state)
        condition = record.condition if isinstance(record, Silent) else compiled.condition.text
        return to_alert(state, rising_reason(rule, condition, value, firing), self._updated_at_ms)

    def _end(self, state: ActiveAlert, value: float | None, reason: str) -> Alert:
        """Publishes the end of an alert, with the labels and annotations it had, and remembers its revision only."""
        ended_ms = max(self._tick_ms, state.last_tick_ms)
        ended = replace(
            state,
            status="resolved",
            value=value,
            last_tick_ms=ended_ms,
            revision=state.revision + 1,
            quiet_since_ms=None,
        )
        self._store.put(replace(ended, labels={}, annotations={}))
        return to_alert(ended, reason, self._updated_at_ms)

    def _end_orphans(self) -> list[Alert]:
        out = [self._end(state, state.value, reason) for state, reason in self._find_orphans()]
        self._orphans = []
        return out

    def _find_orphans(self) -> list[tuple[ActiveAlert, str]]:
        """The restored alerts that today's rules would not raise under the same labels, and why; looked for once."""
        if self._orphans is None:
            self._orphans = []
            for state in self._store.all_active():
                compiled = self._compiled.get(state.rule)
                if compiled is None:
                    self._orphans.append((state, "rule removed"))
                elif fingerprint(self._scope, labels_of(compiled.rule, state.module_id)) != state.fingerprint:
                    self._orphans.append((state, "labels of the rule changed"))
        return self._orphans


def _module_key(record: Record) -> str:
    return record.module_id if isinstance(record, ModuleMetrics) else ""
