"""Tasks of which partitions were added: what `modpulse state repartition` does, without a broker."""

from pipeline.cores.rekey import align, default_home, rekey
from tests.support.core.cores import NOW_MS, Run


def grown(old: list[Run], partitions: int) -> list[Run]:
    """The tasks after partitions were added; each old changelog goes on."""
    align([run.core for run in old], NOW_MS)
    for run in old:
        run.cut(everything=True)
    new = [Run(old[0].config, partition=number, partitions=partitions) for number in range(partitions)]
    rekey([run.core for run in old], [run.core for run in new])
    for run, former in zip(new, old, strict=False):
        run.log, run.offset = former.log, former.offset
    for run in new:
        run.cut(everything=True)
    return new


def mover() -> str:
    """A module that lives in partition 0 of 1 and in partition 1 of 2."""
    return next(name for name in map("m{}".format, range(100)) if default_home(name, 2) == 1)
