"""When which record of which window goes out: provisional, final, corrected."""

from dataclasses import dataclass

import numpy as np

from pipeline.alerts.machine import AlertMachine
from pipeline.alerts.ticker import AlertTicker
from pipeline.config import WindowConfig
from pipeline.health.figures import figures_of
from pipeline.health.hysteresis import step
from pipeline.health.profiles import Profiles
from pipeline.health.score import judge
from pipeline.ingest.modules import Modules
from pipeline.keys import module_window
from pipeline.outputs import Emitted, Outbox
from pipeline.render import WindowText, encode, healths, module_records
from pipeline.sketch.mapping import I8
from pipeline.system.partial import partial_of
from pipeline.windows import layout as at
from pipeline.windows.block import Block, Sums
from pipeline.windows.tree import WindowTree
from schemas.metrics import ModuleMetrics, WindowStatus
from schemas.partials import SystemPartial
from schemas.state import CHUNK_MODULES


@dataclass(slots=True)
class TaskState:
    """What the parts of one task share."""

    windows: WindowConfig
    partition: int
    tree: WindowTree
    modules: Modules
    profiles: Profiles
    outbox: Outbox

    def sums_of(self, block: Block) -> Sums:
        """Everything of a window so far."""
        return self.tree.view(block, self.profiles.min_requests, self.modules.capacity)


class Emitter:
    """Publishes windows. A record is out of date when the requests it counted are not the window's any more."""

    def __init__(self, state: TaskState, alerts: AlertMachine) -> None:
        self._state = state
        self._ticker = AlertTicker(alerts, state.windows)
        self._sealed_partials: dict[tuple[int, int], SystemPartial] = {}
        self._changed: set[tuple[int, int]] = set()
        # What `refresh` looked at, for the partials of the same cut; nothing is applied in between.
        self._views: dict[tuple[int, int], Sums] = {}

    @property
    def ticks(self) -> dict[str, int]:
        """End of the newest window evaluated by the alert rules, per window name."""
        return self._ticker.ticks

    @ticks.setter
    def ticks(self, ticks: dict[str, int]) -> None:
        self._ticker.ticks = ticks

    def close(self, block: Block, now_ms: int) -> None:
        """Publish the final record of every module of a window, and evaluate the alert rules on them."""
        state = self._state
        sums = state.sums_of(block)
        codes = np.flatnonzero(sums.ints[at.COUNT])
        chains = state.modules.chains[block.level]
        self.remember_chains(block)
        block.final = True
        records, after = self._publish(block, sums, codes, chains, "final", now_ms)
        state.modules.set_chains(block.level, codes, after)
        block.touched = False
        name = state.windows.sizes[block.level][0]
        for alert in self._ticker.tick(name, block.end_ms, block.size_ms, records, now_ms):
            state.outbox.emit(alert)

    def remember_chains(self, block: Block) -> None:
        """Note the hysteresis state of every module at a window's close.

        Also of modules that first come in with a correction: their record must not depend on when it is made.
        """
        block.grow(self._state.modules.capacity)
        chains = self._state.modules.chains[block.level]
        block.meta[at.BEFORE] = chains
        block.dirty_meta.update(np.unique(np.flatnonzero(chains) // CHUNK_MODULES).tolist())

    def seal(self, block: Block, now_ms: int) -> None:
        """Publish what a window still owes before it is dropped."""
        if block.touched:
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
        state = self._state
        blocks = state.tree.levels[level]
        if not any(block.touched or not block.final for block in blocks.values()):
            return
        running: I8 | None = None
        for start in sorted(blocks):
            block = blocks[start]
            block.grow(state.modules.capacity)
            sums = state.sums_of(block) if block.touched else None
            outdated = np.zeros(state.modules.capacity, np.bool_)
            if sums is not None:
                outdated |= sums.ints[at.COUNT] != block.meta[at.EMITTED]
            if block.final:
                before = block.meta[at.BEFORE]
            else:
                running = state.modules.chains[level].copy() if running is None else running
                before = running
                outdated |= (block.meta[at.EMITTED] > 0) & (block.meta[at.BEFORE] != before)
            codes = np.flatnonzero(outdated)
            if codes.size:
                sums = state.sums_of(block) if sums is None else sums
                self._views[(level, start)] = sums
                status: WindowStatus = "corrected" if block.final else "provisional"
                self._publish(block, sums, codes, before, status, now_ms)
            block.touched = False
            if not block.final and running is not None:
                present = np.flatnonzero(block.meta[at.EMITTED])
                running[present] = self._after(present, running[present], block.meta[at.LEVEL, present])

    def end_ticks(self, stream_ms: int, now_ms: int) -> None:
        """Let alerts see windows in which nothing happened at all, up to the newest closed one."""
        for alert in self._ticker.end_ticks(stream_ms, now_ms):
            self._state.outbox.emit(alert)

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

    def _keep_partial(self, block: Block, partials: dict[tuple[int, int], SystemPartial]) -> None:
        state = self._state
        name = state.windows.sizes[block.level][0]
        sums = self._views.get((block.level, block.start_ms))
        sums = state.sums_of(block) if sums is None else sums
        partial = partial_of(state.partition, name, block, sums, state.profiles)
        if partial is not None:
            partials[(block.level, block.start_ms)] = partial

    def _after(self, codes: I8, before: I8, raw: I8) -> I8:
        profiles = self._state.profiles
        return step(before, raw, profiles.worsen[codes], profiles.improve[codes]).states

    def _publish(
        self, block: Block, sums: Sums, codes: I8, before: I8, status: WindowStatus, now_ms: int
    ) -> tuple[list[ModuleMetrics], I8]:
        state = self._state
        if not codes.size:
            return [], codes
        figures = figures_of(sums, codes)
        judgement = judge(figures, state.profiles)
        profiles = state.profiles
        steps = step(before[codes], judgement.levels, profiles.worsen[codes], profiles.improve[codes])
        block.meta[at.REVISION, codes] += 1
        block.meta[at.EMITTED, codes] = figures.counts
        block.meta[at.BEFORE, codes] = before[codes]
        block.meta[at.LEVEL, codes] = judgement.levels
        block.scores[codes] = judgement.scores
        block.dirty_meta.update(np.unique(codes // CHUNK_MODULES).tolist())
        self._changed.add((block.level, block.start_ms))
        name = state.windows.sizes[block.level][0]
        text = WindowText(name, block.start_ms, block.size_ms, status, now_ms)
        judged = healths(figures, judgement, steps, profiles)
        revisions = block.meta[at.REVISION, codes].tolist()
        records = module_records(text, sums, figures, judged, revisions, state.modules.ids)
        for record in records:
            key = module_window(record.module_id, name, block.start_ms)
            emitted = Emitted("module_metrics", key, encode(record), record.revision, block.end_ms)
            state.outbox.emit(emitted)
        return records, steps.states
