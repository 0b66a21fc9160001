"""`modpulse probe` asks where the settings say."""

import json

import pytest

from tests.support.shell.command import Run


def test_a_worker_that_does_not_answer_is_a_finding(run: Run) -> None:
    code, out, _ = run("--set", "metrics.bind=0.0.0.0:1", "probe")
    assert code == 1
    assert out.startswith("fail  http://127.0.0.1:1/livez does not answer")


def test_ready_is_another_question(run: Run) -> None:
    code, out, _ = run("--set", "metrics.bind=127.0.0.1:1", "probe", "--ready", "--json")
    assert code == 1
    answer = json.loads(out)
    assert answer["ok"] is False
    assert "/readyz" in answer["text"]


def test_without_an_endpoint_there_is_nothing_to_ask(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODPULSE_METRICS__BIND", "")
    code, out, _ = run("probe")
    assert (code, out[:4]) == (0, "ok  ")
