"""The command line: what each kind of error means for the exit code, and what configuration commands answer."""

import sys
from pathlib import Path

import orjson
import pytest

from pipeline.native import load_native
from schemas.errors import (
    BrokerUnavailable,
    ConfigError,
    InputRewound,
    RecordRefused,
    StateIncompatible,
    StateLost,
    TaskFenced,
)
from tests.support.command import Run
from topology.runtime.exit_codes import exit_code

COMMANDS = [
    "",
    "topics",
    "topics create",
    "config",
    "config show",
    "config check",
    "doctor",
    "schema show",
    "dlq",
    "dlq list",
    "dlq replay",
]


@pytest.mark.parametrize("command", [*COMMANDS, "schema validate", "rules check"])
def test_every_command_explains_itself(run: Run, command: str) -> None:
    code, out, err = run(*command.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: modpulse")


def test_help_imports_neither_the_broker_client_nor_the_settings() -> None:
    import subprocess

    script = (
        "import sys, topology.cli; print(*({'aiokafka', 'pydantic', 'numpy', 'faust', 'structlog'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_errors_have_the_contracts_exit_codes() -> None:
    kinds = (ConfigError, StateLost, StateIncompatible, InputRewound, BrokerUnavailable, TaskFenced, RecordRefused)
    assert [exit_code(kind("x")) for kind in kinds] == [2, 2, 2, 2, 3, 1, 1]


def test_a_wrong_setting_ends_with_2_and_one_line(run: Run) -> None:
    assert run("--set", "windows.grac=1s", "config", "show") == (
        2,
        "",
        "modpulse: windows.grac is no setting; did you mean windows.grace?\n",
    )
    assert run("--set", "windows.grace", "config", "show")[0] == 2
    assert run("--log-level", "loud", "config", "show")[0] == 2
    assert run("no-such-command")[0] == 2
    assert run("topics", "create", "--no-such-flag")[0] == 2


def test_an_unreachable_broker_ends_with_3_and_one_line(run: Run) -> None:
    code, out, err = run("--set", "kafka.bootstrap_servers=127.0.0.1:1", "topics", "create")
    assert (code, out) == (3, "")
    assert err.startswith("modpulse: no broker at kafka.bootstrap_servers = 127.0.0.1:1 (")
    assert err.count("\n") == 1


def test_doctor_says_so_too(run: Run) -> None:
    code, out, _ = run("--set", "kafka.bootstrap_servers=127.0.0.1:1", "doctor", "--json")
    assert code == 3
    assert [(one["check"], one["status"]) for one in orjson.loads(out)] == [
        ("codecs", "ok"),
        ("native", "ok" if load_native() else "warn"),
        ("broker", "fail"),
    ]


def test_no_message_carries_control_characters_to_the_terminal(run: Run) -> None:
    _, _, err = run("--set", "windows.grace=\x1b[2J\u202e", "config", "show")
    assert "\x1b" not in err
    assert "\u202e" not in err


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


def test_rules_check_names_the_line_of_a_bad_rule(run: Run) -> None:
    Path("bad.toml").write_text('[[rule]]\nname = "x"\nwindow = "30s"\nexpression = "nothing >"\n', encoding="utf-8")
    code, _, err = run("rules", "check", "bad.toml")
    assert code == 2
    assert "bad.toml:" in err


def test_schema_show_and_validate_keep_to_the_contract(run: Run) -> None:
    code, out, _ = run("schema", "show", "module-log-events")
    assert code == 0
    assert "module_id" in orjson.dumps(orjson.loads(out)).decode()
    assert orjson.loads(run("schema", "show")[1])["asyncapi"].startswith("3.")
    code, _, err = run("schema", "show", "module-log-event")
    assert (code, "did you mean module-log-events?" in err) == (2, True)
    good = b'{"module_id": "m", "timestamp": 1780315200000, "success": true, "response_time_ms": 2.5}\n'
    Path("events.jsonl").write_bytes(good + b"\n" + b"{}\n")
    code, out, _ = run("schema", "validate", "module-log-events", "events.jsonl", "--json")
    answer = orjson.loads(out)
    assert (code, answer["checked"], [one["line"] for one in answer["wrong"]]) == (1, 2, [3])
    Path("events.jsonl").write_bytes(good)
    assert run("schema", "validate", "module-log-events", "events.jsonl")[0] == 0
