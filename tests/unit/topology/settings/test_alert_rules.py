"""The alert rules the settings ask for: none, the shipped ones, or those of a file."""

from importlib import resources
from pathlib import Path

import pytest

from schemas.errors import ConfigError
from topology.settings import Settings, load_settings
from topology.settings.alert_rules import SHIPPED, configured_rules, read_rules

RULE = '[[rule]]\nname = "{name}"\nwindow = "{window}"\nexpression = "error_rate > 0.5"\n'


def with_sizes(sizes: str, **more: object) -> Settings:
    return load_settings(overrides={"windows.sizes": sizes, **more}, environ={})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rules.toml"


def test_a_shipped_rule_about_a_window_that_is_not_configured_is_left_out() -> None:
    every, some = configured_rules(Settings()), configured_rules(with_sizes("30s"))
    text = (resources.files("topology.settings") / SHIPPED).read_text(encoding="utf-8")
    assert len(every) == text.count("\n[[rule]]\n") > 0
    assert some == tuple(rule for rule in every if rule.window == "30s")
    assert 0 < len(some) < len(every)
    assert configured_rules(with_sizes("7s")) == ()


def test_a_rule_of_ones_own_about_such_a_window_is_an_error(file: Path) -> None:
    file.write_text(RULE.format(name="Mine", window="1m"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"rules\.toml:.*rule 'Mine'"):
        configured_rules(with_sizes("30s", **{"alerts.rules_file": str(file)}))


def test_a_file_of_ones_own_replaces_the_shipped_rules_whole(file: Path) -> None:
    file.write_text(RULE.format(name="Größer", window="1m"), encoding="utf-8")
    settings = with_sizes("30s,1m", **{"alerts.rules_file": str(file)})
    assert [rule.name for rule in configured_rules(settings)] == ["Größer"]
    off = with_sizes("30s,1m", **{"alerts.rules_file": "absent.toml", "alerts.enabled": "off"})
    assert configured_rules(off) == (), "a file that is not needed is not read"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named_with_the_remedy(file: Path, content: bytes | None) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot read the rule file .*rules\.toml \(.+\); name a readable TOML file"):
        read_rules(file, Settings())
