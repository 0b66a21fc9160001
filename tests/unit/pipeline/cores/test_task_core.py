"""What the shell needs of a core, both cores have."""

from pipeline.cores.module_core import ModuleCore
from pipeline.cores.task_core import TaskCore
from pipeline.ingest.batch import NoHeaders, RecordBatch
from pipeline.system.core import SystemCore
from tests.support.core.system_tasks import CONFIG, NOW


def test_both_cores_fit_the_same_task() -> None:
    cores: list[TaskCore] = [ModuleCore(CONFIG), SystemCore(CONFIG)]
    for core in cores:
        core.restore({})
        core.idle_until(NOW, NOW)
        core.apply(RecordBatch("t", 0, [], [], [], [], NoHeaders()), NOW)
        assert core.cut(NOW).position.stream_ms is None
        assert (core.open_windows, core.buffered_bytes) == (0, 0)
    assert not cores[1].idle
