"""One page for all workers: every sample once, labelled, each family once, and nothing added up."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.shell.scrapes import series_of
from topology.supervisor.pages import merged_metrics, readiness

HOSTILE = 'a{b="c"} 1\n# TYPE x "\\'


def page(scale: float, *tasks: str, alone: bool = False) -> str:
    registry = CollectorRegistry()
    counter = Counter("records", "Records.", ["task"], registry=registry)
    seconds = Histogram("flush_seconds", "Seconds.", ["task"], registry=registry, buckets=(1.0, 5.0))
    Gauge("tasks", "Tasks.", registry=registry).set(len(tasks))
    if alone:
        Gauge("only_here", "Of one worker.", ["module"], registry=registry).labels(HOSTILE).set(1)
    for task in tasks:
        counter.labels(task).inc(10 * scale)
        seconds.labels(task).observe(scale)
    return generate_latest(registry).decode()


def test_every_sample_of_every_worker_is_there_once_with_its_worker() -> None:
    pages = {0: page(1, "0", "1"), 3: page(2, "2", alone=True)}
    found = series_of(merged_metrics(pages))
    wanted = {
        (name, labels | {("worker", str(worker))}): value
        for worker, text in pages.items()
        for (name, labels), value in series_of(text).items()
    }
    assert found == wanted
    assert found["records_total", frozenset({("worker", "3"), ("task", "2")})] == 20


def test_each_family_has_one_head_with_its_samples_behind_it() -> None:
    text = merged_metrics({0: page(1, "0"), 1: page(1, "1"), 2: page(1, "2")})
    heads = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(heads) == len(set(heads))
    families = list(text_string_to_metric_families(text))
    # A parser that meets a sample outside its family makes another one of it, without a type.
    assert sorted(family.name for family in families) == sorted(head.removesuffix("_total") for head in heads)
    assert all(family.type != "unknown" for family in families)
    assert {family.name: family.documentation for family in families}["records"] == "Records."


def test_a_sample_without_labels_and_one_with_empty_ones_get_the_label_too() -> None:
    text = merged_metrics({7: "# HELP up Up.\n# TYPE up gauge\nup 1.0\nup{} 2.0 1700000000000\n"})
    assert text.splitlines()[2:] == ['up{worker="7"} 1.0', 'up{worker="7"} 2.0 1700000000000']


def test_a_page_that_breaks_off_or_is_empty_spoils_no_other() -> None:
    whole = page(1, "0")
    assert merged_metrics({0: whole, 1: ""}) == merged_metrics({0: whole})
    assert merged_metrics({}) == ""


def test_readiness_is_that_of_the_last_worker_and_lists_every_line() -> None:
    assert readiness({1: (True, "ok\nwarning: x\n"), 0: (True, "ok\n")}) == (
        True,
        "worker 0: ok\nworker 1: ok\nworker 1: warning: x\n",
    )
    ready, text = readiness({0: (True, "ok"), 1: (False, "restoring"), 2: (False, "starting")})
    assert (ready, text) == (False, "worker 0: ok\nworker 1: restoring\nworker 2: starting\n")
