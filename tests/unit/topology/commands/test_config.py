"""`modpulse config`: what is set and where, and whether all of it can be used."""

from pathlib import Path

import orjson
import pytest

from tests.support.shell.command import Run


def test_config_show_says_what_is_set_and_where(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("modpulse.toml").write_text('[windows]\ncorrections = "5m"\n', encoding="utf-8")
    monkeypatch.setenv("MODPULSE_WINDOWS__GRACE", "7s")
    code, out, err = run("--log-level", "debug", "config", "show", "--origin", "--json")
    assert (code, err) == (0, "")
    shown = orjson.loads(out)
    assert shown["windows.grace"] == {"value": "7s", "origin": "env"}
    assert shown["windows.corrections"] == {"value": "5m", "origin": "file"}
    assert shown["log.level"] == {"value": "debug", "origin": "flag"}
    assert shown["windows.sizes"] == {"value": "30s,1m,5m,15m,1h,1d", "origin": "default"}
    code, out, _ = run("config", "show")
    assert ["windows.grace", "7s"] in [line.split() for line in out.splitlines()]


def test_config_show_masks_secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODPULSE_KAFKA__SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("MODPULSE_KAFKA__SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("MODPULSE_KAFKA__SASL_USERNAME", "worker")
    monkeypatch.setenv("MODPULSE_KAFKA__SASL_PASSWORD", "hunter2")
    for arguments in (["config", "show", "--origin"], ["config", "show", "--json"]):
        code, out, err = run(*arguments)
        assert code == 0
        assert "hunter2" not in out + err
        assert "********" in out


def test_config_check_also_reads_certificates_and_rules(run: Run) -> None:
    assert run("config", "check")[0] == 0
    Path("no.pem").write_text("not a certificate", encoding="utf-8")
    secure = ["--set", "kafka.security_protocol=SSL", "--set", "kafka.ssl_ca_location=no.pem"]
    code, _, err = run(*secure, "config", "check")
    assert code == 2
    assert "kafka.ssl_ca_location = no.pem holds no usable certificates" in err
    code, _, err = run("--set", "alerts.rules_file=absent.toml", "config", "check")
    assert code == 2
    assert "cannot read the rule file absent.toml" in err


def test_config_check_counts_what_was_given(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODPULSE_DEDUP__ENABLED", "off")
    code, out, _ = run("--set", "windows.grace=3s", "--log-level", "error", "config", "check", "--json")
    answer = orjson.loads(out)
    assert (code, answer["ok"], sorted(answer["given"])) == (0, True, ["dedup.enabled", "log.level", "windows.grace"])
    assert answer["rules"] > 0
    none = run("--set", "alerts.enabled=off", "config", "check")[1]
    assert none.startswith("ok  2 settings given, ")
    assert none.endswith("; 0 alert rules\n")
