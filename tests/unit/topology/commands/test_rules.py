"""`modpulse rules check`: whether a file of alert rules can be used."""

from pathlib import Path

import orjson

from tests.support.shell.command import Run

GOOD = '[[rule]]\nname = "Mine"\nwindow = "30s"\nexpression = "error_rate > 0.5"\n'


def test_rules_check_names_the_line_of_a_bad_rule(run: Run) -> None:
    Path("bad.toml").write_text('[[rule]]\nname = "x"\nwindow = "30s"\nexpression = "nothing >"\n', encoding="utf-8")
    code, _, err = run("rules", "check", "bad.toml")
    assert code == 2
    assert "bad.toml:" in err


def test_rules_check_names_the_rules_of_a_good_file(run: Run) -> None:
    Path("good.toml").write_text(GOOD, encoding="utf-8")
    assert run("rules", "check", "good.toml") == (0, "ok  good.toml: 1 rules\n    Mine\n", "")
    assert orjson.loads(run("rules", "check", "good.toml", "--json")[1]) == {"ok": True, "rules": ["Mine"]}


def test_rules_are_checked_for_the_windows_that_are_configured(run: Run) -> None:
    Path("good.toml").write_text(GOOD, encoding="utf-8")
    code, out, err = run("--set", "windows.sizes=1m", "rules", "check", "good.toml")
    assert (code, out) == (2, "")
    assert "rule 'Mine'" in err
    assert run("rules", "check", "absent.toml")[0] == 2
