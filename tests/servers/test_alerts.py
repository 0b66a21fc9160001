"""Each shipped alert about modpulse itself fires at its fault and at no other, with the series that real workers export.

The names and labels are those of pages scraped in this run: a metric that is renamed, or loses a label, makes its case red.
"""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.servers.cases import CASES
from tests.servers.conftest import Pages
from tests.servers.scene import FAULT_MIN, LAST_MIN, RULES, STEP_S, Case, firing_file, scene, silent_file

pytestmark = [pytest.mark.servers, pytest.mark.broker]


def rules_test(promtool: Path, directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    file = directory / "test.yml"
    file.write_text(text, "utf-8")
    return subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, timeout=120, check=False)


def test_the_rules_are_valid(promtool: Path) -> None:
    done = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_of_a_scrape_job_is_valid(promtool: Path) -> None:
    file = RULES.with_name("prometheus-scrape.yml")
    done = subprocess.run([promtool, "check", "config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case() -> None:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    shipped = {
        " ".join(filter(None, (rule["alert"], rule["labels"].get("limit"))))
        for group in groups
        for rule in group["rules"]
    }
    assert {alert for case in CASES for alerts in case.fires.values() for alert in alerts} == shipped


@pytest.mark.parametrize("page", ["worker", "supervisor"])
def test_a_healthy_worker_sets_off_nothing(page: str, pages: Pages, promtool: Path, tmp_path: Path) -> None:
    minutes = (1, 5, 15, 30, 60, LAST_MIN)
    done = rules_test(promtool, tmp_path, firing_file(scene(getattr(pages, page)), [(m, set()) for m in minutes]))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_alerts_of_a_fault_fire_and_no_others(case: Case, pages: Pages, promtool: Path, tmp_path: Path) -> None:
    checks = [(FAULT_MIN - 1, set[str]()), *((FAULT_MIN + minute, alerts) for minute, alerts in case.fires.items())]
    done = rules_test(promtool, tmp_path, firing_file(scene(getattr(pages, case.page), case), checks))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_an_alert_says_is_whole(pages: Pages, promtool: Path, tmp_path: Path) -> None:
    said: dict[str, str] = {}
    for case in CASES:
        if (found := [(m, alerts) for m, alerts in case.fires.items() if alerts]) and found[-1][1] - said.keys():
            minute, alerts = found[-1]
            text = silent_file(scene(getattr(pages, case.page), case), FAULT_MIN + minute, alerts)
            done = rules_test(promtool, tmp_path, text)
            said |= dict.fromkeys(alerts, done.stdout + done.stderr)
    for alert, output in said.items():
        got = re.findall(
            rf"Labels:\{{alertname=\"{alert.partition(' ')[0]}\".*?Annotations:\{{(.*?)\}}\n", output, re.DOTALL
        )
        assert got, (alert, output)
        assert "<error" not in output, output
        assert "<no value>" not in output, output
        assert '""' not in output, output
        assert all("runbook_url" in one for one in got)


def exact(promtool: Path, directory: Path, series: dict[str, str], minute: int, *alerts: str) -> None:
    """These series alone, as they stand here, set off these alerts, whatever else fires."""
    names = "|".join(alerts)
    test = {
        "interval": f"{STEP_S}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(group by (alertname) (ALERTS{{alertstate="firing",alertname=~"{names}"}}))',
                "eval_time": f"{minute}m",
                "exp_samples": [{"value": len(alerts)}],
            }
        ],
    }
    text = yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": f"{STEP_S}s", "tests": [test]})
    done = rules_test(promtool, directory, text)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("minute", [3, 5, 14])
def test_a_loss_fires_on_its_series_alone(minute: int, promtool: Path, tmp_path: Path) -> None:
    lost = {'modpulse_input_lost_records_total{instance="w:9464",task="3"}': "_x8 49900x240"}
    exact(promtool, tmp_path, lost, minute, "ModpulseInputLost")


@pytest.mark.parametrize("before", ["_", "1", "0"])
@pytest.mark.parametrize("minute", [3, 30, 60])
def test_bad_records_at_once_fire_on_their_series_alone(
    before: str, minute: int, promtool: Path, tmp_path: Path
) -> None:
    letters = {'modpulse_rejected_records_total{instance="w:9464",task="3",reason="invalid"}': f"{before}x8 500x1000"}
    exact(promtool, tmp_path, letters, minute, "ModpulseDeadLettersTrickle")


def test_a_worker_that_is_gone_lags_is_late_and_stands_still_fires_on_four_series_alone(
    promtool: Path, tmp_path: Path
) -> None:
    series = {
        'up{job="modpulse",instance="w:9464"}': "1x20 0x200",
        'modpulse_lag_records{instance="w:9464",task="3",topic="module-log-events"}': "0x20 1000+5000x200",
        'modpulse_rejected_records_total{instance="w:9464",task="3",reason="late"}': "0x20 0+5000x200",
        'modpulse_stream_time_seconds{instance="w:9464",task="3"}': "1795613000x220",
    }
    fired = (
        "ModpulseDown",
        "ModpulseLagGrowing",
        "ModpulseLateEvents",
        "ModpulseStreamTimeFrozen",
        "ModpulseNobodyWorks",
    )
    exact(promtool, tmp_path, series, 40, *fired)
