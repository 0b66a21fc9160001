"""What a task makes of raw records: one window of a minute, and the newest record of each module."""

from pipeline.config import CoreConfig, WindowConfig
from schemas.metrics import ModuleMetrics
from tests.support.core.cores import Run, last_of_each
from tests.support.records.oddities import AT_MS

CLOCK_MS = AT_MS + 60_000
# Keys that are not the id of the module `checkout`.
FOREIGN: dict[str, bytes | None] = {"null": None, "empty": b"", "other": b"search", "prefix": b"checkou", "ff": b"\xff"}


def small() -> CoreConfig:
    """One window of a minute."""
    return CoreConfig(WindowConfig(sizes=(("1m", 60_000),)))


def counted(run: Run) -> dict[str, ModuleMetrics]:
    """The newest record of each module."""
    return {record.module_id: record for record in last_of_each(run.metrics).values()}
