"""When which record of which window goes out: provisional, final, corrected."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.alerts.machine import NOBODY, AlertMachine
from pipeline.alerts.ticker import AlertTicker
from pipeline.arrays import I8
from pipeline.health.figures import figures_of
from pipeline.health.hysteresis import step
from pipeline.health.score import judge
from pipeline.modules.registry import Expired
from pipeline.outputs import Emitted
from pipeline.publish.keys import module_window
from pipeline.publish.partial import empty_partial, partial_of
from pipeline.publish.render import WindowText, encode, healths, module_records
from pipeline.publish.statuses import Statuses
from pipeline.publish.task_state import TaskState
from pipeline.windows import layout as at
from pipeline.windows.block import Block
from pipeline.windows.persist import chunks_of
from pipeline.windows.sums import Sums
from schemas.metrics import ModuleMetrics, WindowStatus
from schemas.partials import SystemPartial

Window = tuple[int, int]  # level and start
# Of a longer gap, the system hears of the newest base windows only: a day of them, where they last 30 s.
MOST_EMPTY_PANES = 2_880


class Emitter:
    """Publishes windows. A record is out of date when the requests it counted are not the window's any more."""

    def __init__(self, state: TaskState, alerts: AlertMachine) -> None:
        self._state = state
        self.ticker = AlertTicker(alerts, state.windows)
        self._statuses = Statuses(state)
        self._sealed_partials: dict[Window, SystemPartial] = {}
        self._changed: set[Window] = set()
        # What `refresh` looked at, for the partials of the same cut; nothing is applied in between.
        self._views: dict[Window, Sums] = {}

    def close(self, block: Block, now_ms: int) -> None:
        """Publish the final record of every module of a window, and evaluate the alert rules on them."""
        state = self._state
        self.mark_final(block)
        if state.is_whole(block):
            sums = state.sums_of(block)
            codes = np.flatnonzero(sums.ints[at.COUNT])
            chains = state.modules.chains[block.level]
            records, after = self._publish(block, sums, codes, chains, "final", now_ms)
            if not block.level:
                self._statuses.judged(codes, records, block, now_ms)
            state.modules.set_chains(block.level, codes, after)
            silent, excused = self._silence(block, records)
            for alert in self.ticker.tick(block.size_ms, block.end_ms, records, now_ms, silent=silent, excused=excused):
                state.outbox.emit(alert)
        block.touched = False

    def _silence(self, block: Block, records: list[ModuleMetrics]) -> tuple[Mapping[str, int], frozenset[str]]:
        """Whose silence counts in a closed window, and since when; and who is silent on purpose.

        In a window without any event of the task nobody's silence counts: then it is the input that stopped, and one alert of the
        system says so, not one of every module.
        """
        silence, ids = self._state.modules.silence, self._state.modules.ids
        excused = frozenset(ids[code] or "" for code in silence.excused.tolist())
        if not records or not self.ticker.asks_for_silence(block.size_ms):
            return NOBODY, excused
        codes = silence.closed
        since_ms = silence.since_ms[codes].tolist()
        return {ids[code] or "": since for code, since in zip(codes.tolist(), since_ms, strict=True)}, excused

    def state_silence(self, end_ms: int, counts: I8 | None, now_ms: int) -> None:
        """Publish at the close of a base window which modules have fallen silent, or are no longer.

        Args:
            end_ms: of the window.
            counts: requests by code; None where nobody had any.
            now_ms: the wall clock.
        """
        self._statuses.silence(end_ms, counts, now_ms)

    def end_expired(self, gone: Sequence[Expired], now_ms: int) -> None:
        """Publish that modules were forgotten: their alerts end, and so does their status."""
        for alert in self.ticker.end_expired({module.module_id: module.due_ms for module in gone}, now_ms):
            self._state.outbox.emit(alert)
        self._statuses.expired(gone)

    def end_unknown(self, now_ms: int) -> None:
        """End the alerts of modules that are not known."""
        for alert in self.ticker.end_unknown(self._state.modules.codes, self._state.time.sealed_pane_ms, now_ms):
            self._state.outbox.emit(alert)

    def mark_final(self, block: Block) -> None:
        """Note a window's close: how many modules were silent then, and the hysteresis state of every module.

        Also of modules that first come in with a correction: their record must not depend on when it is made.
        """
        block.final = True
        block.silent = self._state.modules.silence.closed.size
        if self._state.is_whole(block):
            block.grow(self._state.modules.capacity)
            chains = self._state.modules.chains[block.level]
            block.meta[at.BEFORE] = chains
            block.dirty_meta |= chunks_of(np.flatnonzero(chains))

    def seal(self, block: Block, now_ms: int) -> None:
        """Publish what a window still owes before it is dropped."""
        if block.touched and self._state.is_whole(block):
            sums = self._state.sums_of(block)
            outdated = np.flatnonzero(sums.ints[at.COUNT] != block.meta[at.EMITTED])
            self._publish(block, sums, outdated, block.meta[at.BEFORE], "corrected", now_ms)
            block.touched = False
        if (block.level, block.start_ms) in self._changed:
            self._changed.discard((block.level, block.start_ms))
            self._keep_partial(block, self._sealed_partials)

    def refresh(self, level: int, now_ms: int) -> None:
        """Publish every record of a size that is out of date: provisional, or corrected where the window is final.

        The class in force before an open window is what its predecessors would leave behind if they closed as they are, so a
        record depends on the events alone and not on when it was made.
        """
        blocks = [block for block in self._state.tree.levels[level].values() if self._state.is_whole(block)]
        if not any(block.touched or not block.final for block in blocks):
            return
        running: I8 | None = None
        for block in sorted(blocks, key=lambda block: block.start_ms):
            block.grow(self._state.modules.capacity)
            if block.final:
                before = block.meta[at.BEFORE]
            else:
                running = self._state.modules.chains[level].copy() if running is None else running
                before = running
            self._refresh_block(block, before, now_ms)
            if not block.final and running is not None:
                present = np.flatnonzero(block.meta[at.EMITTED])
                raw = block.meta[at.LEVEL, present]
                running[present] = self._after(present, running[present], raw, block.start_ms)

    def _refresh_block(self, block: Block, before: I8, now_ms: int) -> None:
        sums = self._state.sums_of(block) if block.touched else None
        outdated = np.zeros(self._state.modules.capacity, np.bool_)
        if sums is not None:
            outdated |= sums.ints[at.COUNT] != block.meta[at.EMITTED]
        if not block.final:
            outdated |= (block.meta[at.EMITTED] > 0) & (block.meta[at.BEFORE] != before)
        codes = np.flatnonzero(outdated)
        if codes.size:
            sums = self._state.sums_of(block) if sums is None else sums
            self._views[(block.level, block.start_ms)] = sums
            status: WindowStatus = "corrected" if block.final else "provisional"
            self._publish(block, sums, codes, before, status, now_ms)
        block.touched = False

    def end_ticks(self, closed_ms: int, now_ms: int) -> None:
        """Let alerts see windows in which nothing happened at all, up to the newest closed one."""
        for alert in self.ticker.end_ticks(closed_ms, now_ms):
            self._state.outbox.emit(alert)

    def partial_again(self, block: Block) -> None:
        """Send the partial of a window with the next cut although no record of it changed."""
        self._changed.add((block.level, block.start_ms))

    def withdraw_partial(self, block: Block) -> None:
        """Say with the next cut that this partition has no module in a window any more.

        Args:
            block: the window as another task knows it; it need not be open here.
        """
        name = self._state.name_of(block)
        self._sealed_partials[(block.level, block.start_ms)] = empty_partial(
            self._state.partition, name, block.size_ms, block.start_ms, final=block.final
        )

    def drain_partials(self) -> list[SystemPartial]:
        """The newest partial of every window published since the last drain."""
        partials = self._sealed_partials
        for level, start in sorted(self._changed):
            block = self._state.tree.levels[level].get(start)
            if block is not None:
                self._keep_partial(block, partials)
        self._changed.clear()
        self._views.clear()
        self._sealed_partials = {}
        return [partials[key] for key in sorted(partials)]

    def _keep_partial(self, block: Block, partials: dict[Window, SystemPartial]) -> None:
        state = self._state
        window = (block.level, block.start_ms)
        sums = self._views.get(window)
        sums = state.sums_of(block) if sums is None else sums
        silent = block.silent if block.final else state.modules.silent
        partial = partial_of(state.partition, state.name_of(block), block, sums, state.profiles, silent)
        if partial is None:
            name, size_ms = state.windows.sizes[block.level]
            partial = empty_partial(state.partition, name, size_ms, block.start_ms, final=block.final)
        partials[window] = partial

    def empty_panes(self, first_ms: int, through_ms: int) -> None:
        """Tell the system of the windows without any event that closed with empty base windows, while there are modules.

        Args:
            first_ms: start of the first base window.
            through_ms: end of the last.
        """
        state = self._state
        if not state.modules.tracked:
            return
        silent = state.modules.silence.closed.size
        first_ms = max(first_ms, through_ms - MOST_EMPTY_PANES * state.windows.base_ms)
        for level, (name, size_ms) in enumerate(state.windows.sizes):
            for end_ms in range(first_ms // size_ms * size_ms + size_ms, through_ms + 1, size_ms):
                start_ms = end_ms - size_ms
                if start_ms in state.tree.levels[level] or start_ms < state.whole_from_ms[level]:
                    continue
                self._sealed_partials[(level, start_ms)] = empty_partial(
                    state.partition, name, size_ms, start_ms, final=True, known=True, silent=silent
                )

    def _after(self, codes: I8, before: I8, raw: I8, start_ms: int) -> I8:
        profiles = self._state.profiles
        return step(before, raw, profiles.worsen[codes], profiles.improve[codes], start_ms).states

    def _publish(
        self, block: Block, sums: Sums, codes: I8, before: I8, status: WindowStatus, now_ms: int
    ) -> tuple[list[ModuleMetrics], I8]:
        state = self._state
        if not codes.size:
            return [], codes
        figures = figures_of(sums, codes)
        judgement = judge(figures, state.profiles)
        worsen, improve = state.profiles.worsen[codes], state.profiles.improve[codes]
        steps = step(before[codes], judgement.levels, worsen, improve, block.start_ms)
        block.meta[at.REVISION, codes] = np.maximum(block.meta[at.REVISION, codes], state.revision_base) + 1
        block.meta[at.EMITTED, codes] = figures.counts
        block.meta[at.BEFORE, codes] = before[codes]
        block.meta[at.LEVEL, codes] = judgement.levels
        block.scores[codes] = judgement.scores
        block.dirty_meta |= chunks_of(codes)
        self._changed.add((block.level, block.start_ms))
        text = WindowText(state.name_of(block), block.start_ms, block.size_ms, status, now_ms)
        judged = healths(figures, judgement, steps, state.profiles)
        revisions = block.meta[at.REVISION, codes].tolist()
        records = module_records(text, sums, figures, judged, revisions, state.modules.ids)
        for record in records:
            key = module_window(record.module_id, text.name, block.start_ms)
            emitted = Emitted("module_metrics", key, encode(record), record.revision, record.last_updated)
            state.outbox.emit(emitted)
        return records, steps.states
