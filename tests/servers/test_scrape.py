"""What Prometheus' own tool and the two parsers say of pages of real workers."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from tests.servers.conftest import Pages

pytestmark = [pytest.mark.servers, pytest.mark.broker]
each_page = pytest.mark.parametrize("page", ["worker", "supervisor"])


@each_page
def test_promtool_finds_nothing_to_mend(page: str, pages: Pages, promtool: Path) -> None:
    done = subprocess.run(
        [promtool, "check", "metrics"], input=getattr(pages, page), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@each_page
def test_each_family_is_there_once_and_has_a_type(page: str, pages: Pages) -> None:
    families = list(text_string_to_metric_families(getattr(pages, page)))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert [family.name for family in families if family.type == "unknown"] == []
    assert not any(name.endswith("_created") for name in names)


def test_a_server_that_asks_for_openmetrics_gets_the_same_series(pages: Pages) -> None:
    def series(families: Iterable[Metric]) -> set[tuple[str, str]]:
        return {(sample.name, str(sorted(sample.labels.items()))) for family in families for sample in family.samples}

    families = list(openmetrics_families(pages.openmetrics))  # type: ignore[no-untyped-call]
    assert series(families) == series(text_string_to_metric_families(pages.worker))
    assert {f"modpulse_{name}" for name in ("consumed_records", "build_info")} <= {family.name for family in families}
