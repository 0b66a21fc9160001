"""What the commands share: assignments, and answers that are one document or aligned columns."""

import orjson
import pytest

from schemas.errors import ConfigError
from tests.support.shell.command import Run
from topology.commands.context import parse_assignments, print_json, print_table


def test_an_assignment_is_cut_at_its_first_sign() -> None:
    assert parse_assignments(["a.b=c=d", " x =", "y= z", "a.b=later"]) == {"a.b": "later", "x": "", "y": " z"}
    with pytest.raises(ConfigError, match=r"--set windows\.grace: no value; write --set windows\.grace=VALUE"):
        parse_assignments(["a=b", "windows.grace"])


def test_columns_are_aligned_the_last_is_unpadded_and_nothing_acts_on_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table([("ok", "a\x1b[2J", "x"), ("fail", "b", "long  text"), ("ok", "", "")])
    assert capsys.readouterr().out == "ok    a\\x1b[2J  x\nfail  b         long  text\nok\n"
    print_table(iter(()))
    assert capsys.readouterr().out == ""


def test_a_document_ends_with_a_line_end(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [1, None]})
    out = capsys.readouterr().out
    assert out.endswith("}\n")
    assert orjson.loads(out) == {"a": [1, None]}


def test_variables_of_kubernetes_are_named_in_one_line_of_the_log(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODPULSE_PORT", "tcp://10.0.0.1:80")
    code, out, err = run("config", "show", "--json")
    (line,) = err.splitlines()
    told = orjson.loads(line)
    assert (code, told["level"], told["variables"]) == (0, "info", ["MODPULSE_PORT"])
    assert orjson.loads(out)["windows.grace"] == "10s"
    assert run("--log-level", "warning", "config", "show")[2] == ""


def test_a_commands_own_flags_win_over_those_of_the_program(run: Run) -> None:
    out = run("--log-level", "error", "--set", "log.level=debug", "config", "show", "--json")[1]
    assert orjson.loads(out)["log.level"] == "error"
