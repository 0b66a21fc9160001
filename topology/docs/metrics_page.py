"""docs/metrics.md from `METRICS`, so that the page never says anything else than the worker exports.

`python -m topology.docs.metrics_page` writes the page; tests/unit/project/test_docs.py fails where it is out of date.
"""

from pathlib import Path

from topology.serve.registry import PROCESS_FAMILIES
from topology.supervisor.metrics import SUPERVISOR_METRICS
from topology.worker.metrics import METRICS, Metric, Name

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"

_HEAD = """\
# The worker's own metrics

<!-- Made by `python -m topology.docs.metrics_page` from topology/worker/metrics.py; do not edit. -->

`GET /metrics` on `metrics.bind` (`MODPULSE_METRICS__BIND`, loopback by default) answers in Prometheus' text format, and in
OpenMetrics where a server asks for it. [deploy/prometheus-scrape.yml](../deploy/prometheus-scrape.yml) is a scrape job,
[deploy/prometheus-alerts.yml](../deploy/prometheus-alerts.yml) are alerts over these metrics, and the [runbook](runbook.md)
says what to do when one fires.

`task` is the number of an input partition, or `system` for the second stage. Every counter begins at zero: with the process, or,
where it has a `task`, when that task opens here; with the task its series end. So `increase()` over all workers counts every
record once, wherever its partition went, and a sum over a family counts nothing twice: `sum(rate(modpulse_records_total[5m]))` is
the rate of events. `modpulse_ledger_records` has the totals since the application began. What a flush changes is exported after
its transaction is committed, never before.

| metric | kind | labels | what it says | when it moves |
|---|---|---|---|---|
"""

_PROCESS = """
Of the process, as far as the system tells: {families}. `python_info` is that of the client library.

"""

_TAIL = """\
Beside it: `GET /livez` fails only when the main loop has not turned for a minute, whatever the broker does;
`GET /readyz` fails until the worker has joined the group and restored its tasks, and while it takes over others.

## Several workers under one address

`modpulse run --workers N` answers on `metrics.bind` for all its workers. Every metric above is there once, each sample with the
label `worker`, from 0; nothing is added up, so `sum without (worker)` is yours to write. A worker that does not answer within
2.5 s is left out of that scrape. Beside them stand:

| metric | kind | labels | what it says | when it moves |
|---|---|---|---|---|
"""

_END = """
`GET /readyz` lists every worker and fails as long as one of them is not ready. `GET /livez` fails when a worker says that it is
stuck, or has answered nothing for a minute; a worker that ended and is started again is not stuck.
"""


def page() -> str:
    """The whole page."""
    own = "".join(_row(name, metric) for name, metric in METRICS.items())
    supervisor = "".join(
        f"| `{name}` | {kind} | `worker` | {says} | {remedy} |\n"
        for name, (kind, says, remedy) in SUPERVISOR_METRICS.items()
    )
    families = ", ".join(f"`{name}`" for name in PROCESS_FAMILIES if name != "python_info")
    return _HEAD + own + _PROCESS.format(families=families) + _TAIL + supervisor + _END


def _row(name: Name, metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{name}` | {metric.kind} | {labels} | {metric.help} | {metric.remedy} |\n"


def main() -> None:
    """Write the page into the checkout."""
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
