"""What the supervisor says of its workers beside their own metrics. docs/metrics.md is generated from it too."""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, generate_latest

from topology.serve.registry import new_registry
from topology.supervisor.child import Child

UP, RESTARTS = "modpulse_worker_up", "modpulse_worker_restarts_total"
# Name -> kind, what it says, what to do when it moves.
SUPERVISOR_METRICS = {
    UP: ("gauge", "1 where the worker answered this scrape.", "0: it is starting, stuck or gone; /readyz says which."),
    RESTARTS: (
        "counter",
        "How often the worker was started again after it ended.",
        "Rising: its last words are in the log, with the field `worker`.",
    ),
}


class SupervisorMetrics:
    """The two families, in a registry of their own; every worker has its series from the start."""

    def __init__(self, workers: int) -> None:
        self._registry = new_registry()
        self._up = Gauge(UP, SUPERVISOR_METRICS[UP][1], ["worker"], registry=self._registry)
        self._restarts = Counter(RESTARTS, SUPERVISOR_METRICS[RESTARTS][1], ["worker"], registry=self._registry)
        self._counted = [0] * workers
        for number in range(workers):
            self._up.labels(str(number))
            self._restarts.labels(str(number))

    def page(self, children: Iterable[Child], answered: set[int]) -> str:
        """The families as text.

        Args:
            children: all workers.
            answered: the numbers of those that answered this scrape.
        """
        for child in children:
            self._up.labels(str(child.number)).set(child.number in answered)
            self._restarts.labels(str(child.number)).inc(child.restarts - self._counted[child.number])
            self._counted[child.number] = child.restarts
        return generate_latest(self._registry).decode()
